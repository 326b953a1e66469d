import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mocosearch.encoder import Encoder, export, whitening
from mocosearch.encoder.card import Card
from mocosearch.errors import Damaged, NotFound, StorageFailed
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor

SIDE = 80
CARD = Card(
    architecture="resnet10",
    side=SIDE,
    dimension=64,
    recipe={},
    photos=12,
    epochs=0.0,
    seconds=0.0,
    parent=None,
    fingerprint="",
    created="2026-11-25T00:00:00+00:00",
)


def pixels_of(n: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 5, 5, 3), dtype=np.uint8)
    return coarse.repeat(SIDE // 5, 1).repeat(SIDE // 5, 2)


def descriptor_of(seed: int) -> Descriptor:
    torch.manual_seed(seed)
    descriptor = Descriptor(Backbone("resnet10")).eval()
    with torch.no_grad():
        features = descriptor.features(torch.from_numpy(pixels_of(24, 1))).numpy()
    white = whitening.fit(features, CARD.dimension)
    descriptor.set_whitening(torch.from_numpy(white.centre), torch.from_numpy(white.projection))
    return descriptor


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Descriptor, Path, Card]:
    descriptor = descriptor_of(0)
    folder = tmp_path_factory.mktemp("export") / "enc"
    card = export.export(descriptor, descriptor.backbone, CARD, folder, photos=pixels_of(8, 4))
    return descriptor, folder, card


@pytest.fixture
def copy(encoder_folder, tmp_path) -> Path:
    """An encoder's folder to be spoilt."""
    folder = tmp_path / "spoilt"
    folder.mkdir()
    for file in encoder_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def no_graph(monkeypatch) -> None:
    """Exports without the seconds that a real graph takes."""

    class Writer:
        @staticmethod
        def save_model(graph: object, path: Path, compress_to_fp16: bool) -> None:
            path.write_bytes(b"graph")
            path.with_suffix(".bin").write_bytes(b"weights")

    monkeypatch.setattr(export, "_graph", lambda descriptor, side: object())
    monkeypatch.setattr(export, "openvino", lambda: Writer)


def tiny() -> torch.nn.Module:
    return torch.nn.Linear(2, 2)


@pytest.mark.parametrize("n", [1, 5])
def test_openvino_makes_the_keys_of_torch(written, n):
    descriptor, folder, _ = written
    pixels = pixels_of(n, 2)
    with torch.no_grad():
        wanted = descriptor(torch.from_numpy(pixels)).numpy()
    got = Encoder.open(folder).encode(pixels)
    assert got.shape == wanted.shape == (n, CARD.dimension)
    assert got.dtype == np.float32
    np.testing.assert_allclose((got * wanted).sum(1), 1, atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=5e-3)


def test_a_key_does_not_depend_on_its_batch(written):
    encoder = Encoder.open(written[1])
    pixels = pixels_of(5, 3)
    together = encoder.encode(pixels)
    alone = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(5)])
    assert ((together * alone).sum(1) > 0.999).all()


def test_no_pixels_no_keys(written):
    assert Encoder.open(written[1]).encode(pixels_of(0)).shape == (0, CARD.dimension)


def test_strided_pixels_are_encoded_rightly(written):
    encoder = Encoder.open(written[1])
    pixels = pixels_of(4, 5)[::2, :, ::-1]
    assert np.array_equal(encoder.encode(pixels), encoder.encode(pixels.copy()))


def test_the_card_comes_back(written):
    _, folder, card = written
    encoder = Encoder.open(folder)
    assert encoder.card == card
    assert (encoder.side, encoder.dimension, encoder.fingerprint) == (SIDE, 64, card.fingerprint)
    assert card.fingerprint


def test_the_weights_come_back(written):
    descriptor, folder, _ = written
    kept = load_file(folder / "weights.safetensors")
    own = descriptor.backbone.state_dict()
    assert kept.keys() == own.keys()
    for name, weight in own.items():
        rounded = weight.half().float() if weight.ndim > 1 else weight
        assert torch.equal(kept[name].to(weight.dtype), rounded)


def test_the_card_tells_how_far_keys_move(written):
    descriptor, folder, card = written
    with torch.no_grad():
        exact = descriptor(torch.from_numpy(pixels_of(8, 4))).numpy()
    cosines = (exact * Encoder.open(folder).encode(pixels_of(8, 4))).sum(1)
    assert card.quality["cosine_to_fp32"] == pytest.approx(cosines.min(), abs=1e-3)


def test_nothing_else_is_written(written):
    folder = written[1]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert {p.name for p in folder.iterdir()} == {
        "card.json",
        "encoder.bin",
        "encoder.xml",
        "weights.safetensors",
    }


def test_one_network_has_one_fingerprint(written, tmp_path):
    descriptor, folder, card = written
    again = export.export(descriptor, descriptor.backbone, CARD, tmp_path / "again")
    assert (tmp_path / "again/encoder.bin").read_bytes() == (folder / "encoder.bin").read_bytes()
    assert again.fingerprint == card.fingerprint


def test_an_older_encoder_is_replaced(no_graph, tmp_path):
    folder = tmp_path / "place" / "enc"
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    (folder / ".DS_Store").touch()
    export.export(tiny(), tiny(), CARD, folder)
    assert not (folder / "report.html").exists()
    assert (folder / "encoder.xml").read_bytes() == b"graph"
    assert [p.name for p in folder.parent.iterdir()] == ["enc"]


def fail(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["_graph", "Card.to_json", "fingerprint", "save_file"])
@pytest.mark.parametrize("older", [False, True])
def test_a_failed_export_leaves_what_was(no_graph, tmp_path, monkeypatch, where, older):
    folder = tmp_path / "place" / "enc"
    if older:
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("kept")
    target = {"Card.to_json": "mocosearch.encoder.card.Card.to_json"}.get(where)
    if where == "save_file":
        target = "safetensors.torch.save_file"
    monkeypatch.setattr(target or f"mocosearch.encoder.export.{where}", fail)
    with pytest.raises(OSError, match="No space left"):
        export.export(tiny(), tiny(), CARD, folder)
    assert [p.name for p in folder.parent.iterdir()] == (["enc"] if older else [])
    assert not older or (folder / "report.html").read_text() == "kept"


@pytest.fixture
def little_room() -> Iterator[None]:
    """As on a disk that is full after 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_graph", "little_room")
def test_weights_that_find_no_room_are_said(tmp_path):
    with pytest.raises(StorageFailed, match="weights") as caught:
        export.export(tiny(), torch.nn.Linear(1000, 100), CARD, tmp_path / "place" / "enc")
    assert "disk space" in caught.value.hint
    assert list((tmp_path / "place").iterdir()) == []


def test_a_failed_last_rename_brings_the_old_one_back(no_graph, tmp_path, monkeypatch):
    folder = tmp_path / "place" / "enc"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("kept")
    rename = Path.rename

    def reluctant(self: Path, target: Path) -> Path:
        return fail() if self.name.endswith(".part") else rename(self, target)

    monkeypatch.setattr(Path, "rename", reluctant)
    with pytest.raises(OSError, match="No space left"):
        export.export(tiny(), tiny(), CARD, folder)
    assert [p.name for p in folder.parent.iterdir()] == ["enc"]
    assert (folder / "report.html").read_text() == "kept"


def test_changed_weights_are_damage(copy):
    weights = bytearray((copy / "encoder.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (copy / "encoder.bin").write_bytes(weights)
    with pytest.raises(Damaged, match="does not match its card"):
        Encoder.open(copy)


@pytest.mark.parametrize("name", ["encoder.bin", "encoder.xml"])
def test_a_missing_file_is_damage(copy, name):
    (copy / name).unlink()
    with pytest.raises(Damaged, match="missing a file"):
        Encoder.open(copy)


def test_a_graph_that_openvino_cannot_read_is_damage(encoder):
    broken = Encoder(encoder.card, b"<net>", encoder.weights)
    with pytest.raises(Damaged, match="cannot load"):
        broken.encode(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_the_search_needs_no_torch_weights(copy):
    (copy / "weights.safetensors").unlink()
    assert Encoder.open(copy).encode(pixels_of(1)).shape[0] == 1


def test_a_missing_encoder_lists_those_that_are_there(home):
    for name in ("summer", "winter"):
        (home / "encoders" / name).mkdir(parents=True)
    with pytest.raises(NotFound) as caught:
        Encoder.open("spring")
    assert "spring" in caught.value.what
    assert caught.value.hint == "there are: starter, summer, winter"


def test_a_missing_path_is_named_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound) as caught:
        Encoder.open(Path("nowhere"))
    assert "encoders" not in caught.value.what


def test_an_encoder_is_opened_by_name_and_by_path(home, copy):
    place = home / "encoders" / "mine"
    place.parent.mkdir(parents=True)
    copy.rename(place)
    by_name, by_text, by_path = (Encoder.open(x) for x in ("mine", str(place), place))
    assert by_name.fingerprint == by_text.fingerprint == by_path.fingerprint


def test_threads_that_come_at_once_load_the_graph_once(encoder, monkeypatch):
    class Slow(Future):
        def __init__(self) -> None:
            time.sleep(0.1)
            super().__init__()

    monkeypatch.setattr("mocosearch.encoder.runtime.Future", Slow)
    fresh = Encoder(encoder.card, encoder.graph, encoder.weights)
    with ThreadPoolExecutor(4) as threads:
        begun = list(threads.map(lambda _: fresh.prepare(), range(4)))
    assert len({id(loading) for loading in begun}) == 1
    assert fresh.encode(np.zeros((1, SIDE, SIDE, 3), np.uint8)).shape == (1, fresh.dimension)


def test_exporting_and_encoding_load_no_telemetry(tmp_path):
    program = (
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from mocosearch.encoder import Encoder\n"
        "from mocosearch.encoder.card import Card\n"
        "from mocosearch.encoder.export import export\n"
        "class Mean(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.nn.functional.normalize(x.float().mean((1, 2)))\n"
        "card = Card('a', 8, 3, {}, 1, 0.0, 0.0, None, '', '')\n"
        "export(Mean().eval(), torch.nn.Linear(2, 2), card, Path(sys.argv[1]))\n"
        "pixels = torch.ones(2, 8, 8, 3, dtype=torch.uint8).numpy()\n"
        "Encoder.open(Path(sys.argv[1])).encode(pixels)\n"
        "assert 'openvino' in sys.modules\n"
        "print([m for m in sys.modules if 'telemetry' in m])\n"
    )
    run = [sys.executable, "-c", program, str(tmp_path / "enc")]
    done = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_encoding_loads_no_torch(encoder_folder):
    program = (
        "import sys\n"
        "import numpy as np\n"
        "from mocosearch import Encoder\n"
        "encoder = Encoder.open(sys.argv[1])\n"
        "encoder.encode(np.zeros((1, encoder.side, encoder.side, 3), np.uint8))\n"
        "print([m for m in ('torch', 'openvino_telemetry') if m in sys.modules])\n"
    )
    run = [sys.executable, "-c", program, os.fspath(encoder_folder)]
    done = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
