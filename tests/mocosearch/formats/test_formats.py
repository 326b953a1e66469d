"""Each format is read back by the program that it is for."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from mocosearch.encoder import Encoder
from mocosearch.encoder.card import Card
from mocosearch.encoder.export import export
from mocosearch.encoder.refit import Refit
from mocosearch.errors import Mismatch, Unsuitable
from mocosearch.formats.network import load_backbone, load_descriptor
from mocosearch.formats.onnx import write_onnx
from mocosearch.formats.timm import write_timm
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor

PHOTOS = 12


@pytest.fixture(scope="module")
def pixels(encoder):
    side = encoder.side
    return np.random.default_rng(0).integers(0, 256, (PHOTOS, side, side, 3), dtype=np.uint8)


def test_the_network_gives_the_keys_of_the_encoder(encoder_folder, encoder, pixels):
    with torch.no_grad():
        keys = load_descriptor(encoder_folder)(torch.from_numpy(pixels)).numpy()
    assert (keys * encoder.encode(pixels)).sum(1).min() > 0.999


def test_onnxruntime_gives_the_keys_of_the_encoder(encoder_folder, encoder, pixels, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    write_onnx(encoder_folder, tmp_path / "encoder.onnx")
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["encoder.onnx"]
    session = runtime.InferenceSession(str(tmp_path / "encoder.onnx"))
    for count in (1, PHOTOS):
        keys = session.run(["keys"], {"pixels": pixels[:count]})[0]
        assert keys.shape == (count, encoder.dimension)
        assert (keys * encoder.encode(pixels[:count])).sum(1).min() > 0.999


def test_the_whitening_of_an_index(encoder_folder, encoder, pixels):
    refit = Refit(encoder)
    white = replace(refit.prior, centre=refit.prior.centre + 0.01)
    graph = refit.with_whitening(white)
    card = replace(encoder.card, fitted_from=encoder.fingerprint, fingerprint="other")
    with torch.no_grad():
        descriptor = load_descriptor(
            encoder_folder, Encoder(_with_fingerprint(card, graph), *graph)
        )
        keys = descriptor(torch.from_numpy(pixels)).numpy()
    expected = white.keys(refit.features(pixels))
    assert (keys * expected).sum(1).min() > 0.999
    stranger = replace(_with_fingerprint(card, graph), fitted_from="somebody")
    with pytest.raises(Mismatch):
        load_descriptor(encoder_folder, Encoder(stranger, *graph))


def _with_fingerprint(card: Card, graph: tuple[bytes, bytes]) -> Card:
    from mocosearch.encoder.card import fingerprint

    return replace(card, fingerprint=fingerprint(*graph))


@pytest.mark.parametrize("architecture", ["resnet18", "vit_small"])
def test_timm_computes_the_same_features(architecture, tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = Backbone(architecture).eval()
    _save(backbone, tmp_path / "encoder", monkeypatch)
    write_timm(tmp_path / "encoder", tmp_path / "timm")
    model = timm.create_model(f"local-dir:{tmp_path / 'timm'}", pretrained=True).eval()
    assert tuple(model.pretrained_cfg["input_size"]) == (3, 64, 64)
    pictures = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = load_backbone(tmp_path / "encoder")(pictures)
        features = model((pictures - backbone.mean) / backbone.std)
    assert torch.allclose(features, expected, atol=1e-4)


def _save(backbone, folder, monkeypatch):
    """An encoder with this network; its graph is not used."""
    from mocosearch.encoder import export as exporting

    monkeypatch.setattr(exporting, "convert", lambda descriptor, side: (b"graph", b"weights"))
    card = Card(backbone.architecture, 64, 8, {}, 0, 0.0, 0.0, None, "", "2026-01-01")
    export(Descriptor(backbone), backbone, card, folder)


def test_a_network_that_timm_does_not_have(encoder_folder, tmp_path):
    with pytest.raises(Unsuitable, match="resnet10"):
        write_timm(encoder_folder, tmp_path / "timm")
    folder = shutil.copytree(encoder_folder, tmp_path / "onnx")
    card = json.loads((folder / "card.json").read_text()) | {"architecture": "onnx"}
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(Unsuitable, match="ONNX"):
        load_backbone(folder)
