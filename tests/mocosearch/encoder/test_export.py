import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mocosearch.encoder import Encoder, batches, export, whitening
from mocosearch.encoder.card import Card, fingerprint
from mocosearch.encoder.runtime import FEW
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
def export_result(tmp_path_factory) -> tuple[Descriptor, Path, Card]:
    descriptor = descriptor_of(0)
    folder = tmp_path_factory.mktemp("export") / "enc"
    card = export.export(descriptor, descriptor.backbone, CARD, folder, photos=pixels_of(8, 4))
    return descriptor, folder, card


@pytest.fixture
def encoder_copy(encoder_folder, tmp_path) -> Path:
    """A copy of an encoder's folder that a test may damage."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    for file in encoder_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def no_graph(monkeypatch) -> None:
    """Exports a dummy graph, since a real one takes seconds."""

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
def test_openvino_computes_the_keys_of_torch(export_result, n):
    descriptor, folder, _ = export_result
    pixels = pixels_of(n, 2)
    with torch.no_grad():
        expected = descriptor(torch.from_numpy(pixels)).numpy()
    actual = Encoder.open(folder).encode(pixels)
    assert actual.shape == expected.shape == (n, CARD.dimension)
    assert actual.dtype == np.float32
    np.testing.assert_allclose((actual * expected).sum(1), 1, atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(actual, axis=1), 1, atol=5e-3)


def test_a_key_does_not_depend_on_its_batch(export_result):
    encoder = Encoder.open(export_result[1])
    pixels = pixels_of(5, 3)
    together = encoder.encode(pixels)
    alone = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(5)])
    assert ((together * alone).sum(1) > 0.999).all()


def test_photos_are_encoded_in_batches_that_fit_into_memory(export_result, monkeypatch):
    encoder = Encoder.open(export_result[1])
    pixels = pixels_of(FEW + 1, 3)
    expected = encoder.encode(pixels)
    assert encoder.batches.batch == batches.MAX_BATCH
    # The largest tensor of a photo is the stem's: 64 channels at a quarter of the side, in fp32.
    largest = 4 * 64 * (SIDE // 4) ** 2
    monkeypatch.setattr(batches, "MEMORY", 2 * batches.TENSORS * largest)
    small = Encoder.open(export_result[1])
    assert small.batches.batch == 2
    np.testing.assert_allclose(small.encode(pixels), expected, atol=1e-2)


def test_no_pixels_give_no_keys(export_result):
    assert Encoder.open(export_result[1]).encode(pixels_of(0)).shape == (0, CARD.dimension)


def test_strided_pixels(export_result):
    encoder = Encoder.open(export_result[1])
    pixels = pixels_of(4, 5)[::2, :, ::-1]
    assert np.array_equal(encoder.encode(pixels), encoder.encode(pixels.copy()))


def test_the_card_is_read_back(export_result):
    _, folder, card = export_result
    encoder = Encoder.open(folder)
    assert encoder.card == card
    assert (encoder.side, encoder.dimension, encoder.fingerprint) == (SIDE, 64, card.fingerprint)
    assert card.fingerprint


def test_the_weights_are_read_back(export_result):
    descriptor, folder, _ = export_result
    weights = load_file(folder / "weights.safetensors")
    own = descriptor.backbone.state_dict()
    assert weights.keys() == own.keys()
    for name, weight in own.items():
        rounded = weight.half().float() if weight.ndim > 1 else weight
        assert torch.equal(weights[name].to(weight.dtype), rounded)


def test_the_card_has_the_cosine_to_fp32(export_result):
    descriptor, folder, card = export_result
    with torch.no_grad():
        exact = descriptor(torch.from_numpy(pixels_of(8, 4))).numpy()
    cosines = (exact * Encoder.open(folder).encode(pixels_of(8, 4))).sum(1)
    assert card.quality["cosine_to_fp32"] == pytest.approx(cosines.min(), abs=1e-3)


def test_nothing_else_is_written(export_result):
    folder = export_result[1]
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert {p.name for p in folder.iterdir()} == {
        "card.json",
        "encoder.bin",
        "encoder.xml",
        "weights.safetensors",
    }


def test_the_same_network_has_the_same_fingerprint(export_result, tmp_path):
    descriptor, folder, card = export_result
    again = export.export(descriptor, descriptor.backbone, CARD, tmp_path / "again")
    assert (tmp_path / "again/encoder.bin").read_bytes() == (folder / "encoder.bin").read_bytes()
    assert again.fingerprint == card.fingerprint


def test_an_older_encoder_is_replaced(no_graph, tmp_path):
    folder = tmp_path / "place" / "enc"
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    (folder / "metrics.jsonl").touch()
    (folder / ".DS_Store").touch()
    export.export(tiny(), tiny(), CARD, folder)
    assert not (folder / "report.html").exists()
    assert not (folder / "metrics.jsonl").exists()
    assert (folder / "encoder.xml").read_bytes() == b"graph"
    assert [p.name for p in folder.parent.iterdir()] == ["enc"]


def fail(*args: object, **kwargs: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["_graph", "Card.to_json", "fingerprint", "save_file"])
@pytest.mark.parametrize("older", [False, True])
def test_a_failed_export_changes_nothing(no_graph, tmp_path, monkeypatch, where, older):
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
def small_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of more than 100 kB fail, as on a full disk."""
    # Python would write truncated bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("no_graph", "small_disk")
def test_a_full_disk_raises_storage_failed(tmp_path):
    with pytest.raises(StorageFailed, match="weights") as caught:
        export.export(tiny(), torch.nn.Linear(1000, 100), CARD, tmp_path / "place" / "enc")
    assert "disk space" in caught.value.hint
    assert list((tmp_path / "place").iterdir()) == []


def test_a_failed_second_rename_restores_the_old_encoder(no_graph, tmp_path, monkeypatch):
    folder = tmp_path / "place" / "enc"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("kept")
    rename = Path.rename

    def rename_or_fail(self: Path, target: Path) -> Path:
        return fail() if self.name.endswith(".part") else rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_or_fail)
    with pytest.raises(OSError, match="No space left"):
        export.export(tiny(), tiny(), CARD, folder)
    assert [p.name for p in folder.parent.iterdir()] == ["enc"]
    assert (folder / "report.html").read_text() == "kept"


def test_changed_weights_raise_damaged(encoder_copy):
    weights = bytearray((encoder_copy / "encoder.bin").read_bytes())
    weights[len(weights) // 2] ^= 1
    (encoder_copy / "encoder.bin").write_bytes(weights)
    with pytest.raises(Damaged, match="do not match its card"):
        Encoder.open(encoder_copy)


@pytest.mark.parametrize("name", ["encoder.bin", "encoder.xml"])
def test_a_missing_file_raises_damaged(encoder_copy, name):
    (encoder_copy / name).unlink()
    with pytest.raises(Damaged, match="missing a file"):
        Encoder.open(encoder_copy)


def test_an_unreadable_graph_raises_damaged(encoder):
    card = replace(encoder.card, fingerprint=fingerprint(b"<net>", encoder.weights))
    broken = Encoder(card, b"<net>", encoder.weights)
    with pytest.raises(Damaged, match="cannot load"):
        broken.encode(np.zeros((1, SIDE, SIDE, 3), np.uint8))


def test_encoding_needs_no_torch_weights(encoder_copy):
    (encoder_copy / "weights.safetensors").unlink()
    assert Encoder.open(encoder_copy).encode(pixels_of(1)).shape[0] == 1


def test_a_missing_encoder_lists_the_existing_ones(home):
    for name in ("summer", "winter"):
        (home / "encoders" / name).mkdir(parents=True)
    with pytest.raises(NotFound) as caught:
        Encoder.open("spring")
    assert "spring" in caught.value.what
    assert caught.value.hint == "there are: starter, summer, winter"


def test_a_missing_path_is_named_unchanged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound) as caught:
        Encoder.open(Path("nowhere"))
    assert "encoders" not in caught.value.what


def test_an_encoder_is_opened_by_name_and_by_path(home, encoder_copy):
    place = home / "encoders" / "mine"
    place.parent.mkdir(parents=True)
    encoder_copy.rename(place)
    by_name, by_text, by_path = (Encoder.open(x) for x in ("mine", str(place), place))
    assert by_name.fingerprint == by_text.fingerprint == by_path.fingerprint


def test_concurrent_threads_load_the_graph_once(encoder, monkeypatch):
    class Slow(Future):
        def __init__(self) -> None:
            time.sleep(0.1)
            super().__init__()

    monkeypatch.setattr("mocosearch.encoder.runtime.Future", Slow)
    fresh = Encoder(encoder.card, encoder.graph, encoder.weights)
    with ThreadPoolExecutor(4) as threads:
        futures = list(threads.map(lambda _: fresh.prepare(), range(4)))
    assert len({id(loading) for loading in futures}) == 1
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
    outcome = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip() == "[]"


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
    outcome = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.strip() == "[]"
