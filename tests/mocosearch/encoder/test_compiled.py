import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mocosearch.encoder import Encoder, compiled
from mocosearch.encoder.runtime import openvino


@pytest.fixture
def pixels(encoder):
    return np.random.default_rng(3).integers(0, 256, (1, encoder.side, encoder.side, 3), np.uint8)


@pytest.fixture
def compilations(monkeypatch):
    """The encoders that OpenVINO compiled, rather than loaded from the cache."""
    names = []
    save = compiled.save

    def note(core, name, graph):
        names.append(name)
        save(core, name, graph)

    monkeypatch.setattr(compiled, "save", note)
    return names


def files(home):
    folder = home / "cache" / "compiled"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_graph_is_compiled_once_and_gives_the_same_keys(
    encoder_folder, home, pixels, compilations
):
    first = Encoder.open(encoder_folder).encode(pixels)
    second = Encoder.open(encoder_folder).encode(pixels)
    assert_array_equal(first, second)
    assert len(compilations) == len(files(home)) == 1


@pytest.mark.parametrize("damage", ["first byte", "last byte", "half", "empty", "other content"])
def test_a_damaged_file_is_compiled_again(encoder_folder, home, pixels, compilations, damage):
    keys = Encoder.open(encoder_folder).encode(pixels)
    [file] = files(home)
    content = bytearray(file.read_bytes())
    match damage:
        case "first byte":
            content[0] ^= 1
        case "last byte":
            content[-1] ^= 1
        case "half":
            content = content[: len(content) // 2]
        case "empty":
            content.clear()
        case "other content":
            content = bytearray(range(200)) * 10
    file.write_bytes(content)
    assert_array_equal(Encoder.open(encoder_folder).encode(pixels), keys)
    assert len(compilations) == 2
    Encoder.open(encoder_folder).encode(pixels)
    assert len(compilations) == 2


def test_the_number_of_threads_is_that_of_the_encoder(encoder_folder):
    for threads in (1, 2, 1):
        encoder = Encoder.open(encoder_folder)
        encoder.threads = threads
        assert encoder.prepare().result().get_property("INFERENCE_NUM_THREADS") == threads


def test_a_cache_that_cannot_be_written_changes_nothing(encoder_folder, home, pixels):
    home.mkdir(parents=True)
    (home / "cache").write_text("a file in place of the folder")
    assert Encoder.open(encoder_folder).encode(pixels).shape == (1, 256)
    assert (home / "cache").read_text() == "a file in place of the folder"


def test_a_graph_that_cannot_be_exported_is_not_stored(home):
    class Graph:
        def export_model(self):
            raise RuntimeError("not supported")

    compiled.save(openvino().Core(), "name", Graph())
    assert not files(home)


def test_the_oldest_files_are_removed(encoder_folder, home, pixels, monkeypatch):
    monkeypatch.setattr(compiled, "MOST_FILES", 2)
    folder = home / "cache" / "compiled"
    folder.mkdir(parents=True)
    for name in ("a", "b", "c"):
        (folder / name).touch()
    Encoder.open(encoder_folder).encode(pixels)
    assert [file.stat().st_size > 0 for file in files(home)].count(True) == 1
    assert len(files(home)) == 2
