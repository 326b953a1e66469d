"""Files in each published layout, with random weights, against a reference network."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from mocosearch import Encoder
from mocosearch.encoder.refit import Refit
from mocosearch.errors import Damaged, MocosearchError, NotFound, Unsuitable
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.v3 import mlp
from mocosearch.moco.vit import ViT, positions
from mocosearch.pretrained.adopt import adopt
from mocosearch.pretrained.importers import read, start_from
from mocosearch.pretrained.published import PUBLISHED, Published

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.resnet18().eval()


@pytest.fixture(scope="module")
def vit() -> ViT:
    torch.manual_seed(0)
    return ViT(384).eval()


def under(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def other(state: State) -> State:
    """A momentum copy, which must not be loaded."""
    return {name: value * 0.5 for name, value in state.items()}


def without_head(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def by_child_number(state: State) -> State:
    """With names as in a list of the network's children."""
    order = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    parts = ((name.partition("."), value) for name, value in without_head(state).items())
    return {f"{order.index(first)}.{rest}": value for (first, _, rest), value in parts}


def moco_v2(s: State) -> object:
    head = {"fc.0.weight": torch.ones(512, 512), "fc.2.weight": torch.ones(128, 512)}
    q, k = {**without_head(s), **head}, {**other(without_head(s)), **head}
    weights = {**under("module.encoder_q.", q), **under("module.encoder_k.", k)}
    weights |= {"module.queue": torch.ones(128, 8), "module.queue_ptr": torch.zeros(1)}
    return {"epoch": 200, "arch": "resnet18", "state_dict": weights, "optimizer": {"state": {}}}


def moco_v3(s: State) -> object:
    head = under("fc.", mlp([512, 16, 8]).state_dict())
    base, momentum = {**without_head(s), **head}, {**other(without_head(s)), **head}
    weights = {**under("module.base_encoder.", base), **under("module.momentum_encoder.", momentum)}
    return {"state_dict": weights | under("module.predictor.", head)}


def openmmlab(s: State) -> object:
    s = without_head(s)
    return {"meta": {}, "state_dict": under("encoder_q.0.", s) | under("encoder_k.0.", other(s))}


def lightly(s: State) -> object:
    weights = under("backbone.", by_child_number(s)) | under(
        "backbone_momentum.", other(by_child_number(s))
    )
    return {"state_dict": weights | {"projection_head.layers.0.weight": torch.ones(2, 2)}}


def lightly_named(s: State) -> object:
    s = without_head(s)
    return {"state_dict": under("backbone.", s) | under("key_backbone.", other(s))}


def solo_learn(s: State) -> object:
    s = without_head(s)
    weights = under("backbone.", s) | under("momentum_backbone.", other(s))
    return {"state_dict": weights | {"projector.0.weight": torch.ones(2, 2)}}


LAYOUTS: dict[str, Callable[[State], object]] = {
    "facebookresearch/moco": moco_v2,
    "facebookresearch/moco-v3": moco_v3,
    "OpenMMLab": openmmlab,
    "lightly": lightly,
    "lightly ": lightly_named,
    "solo-learn": solo_learn,
    "solo-learn ": lambda s: {"state_dict": under("encoder.", without_head(s))},
    "OpenMMLab ": lambda s: under("backbone.", without_head(s)) | {"neck.0.weight": torch.ones(1)},
    "torchvision": lambda s: s,
    "torchvision ": lambda s: {"model": s},
}


@torch.no_grad()
@pytest.mark.parametrize("source", LAYOUTS)
def test_each_layout_gives_the_features_of_the_reference(source, resnet, tmp_path):
    file = tmp_path / "some.pth.tar"
    torch.save(LAYOUTS[source](resnet.state_dict()), file)
    start = read(file)
    assert source.strip() in start.origin
    assert (start.backbone.architecture, start.side) == ("resnet18", 224)
    pixels = torch.rand(2, 3, 64, 64)
    mean, spread = (torch.tensor(x).reshape(3, 1, 1) for x in ((0.485, 0.456, 0.406), SPREAD))
    body = nn.Sequential(*list(resnet.children())[:-1])
    expected = body((pixels - mean) / spread).flatten(1)
    torch.testing.assert_close(start.backbone.eval()(pixels), expected, rtol=1e-4, atol=1e-5)


SPREAD = (0.229, 0.224, 0.225)


def with_fixed_positions(vit: ViT) -> State:
    places = positions(14, 14, 384, torch.device("cpu"))
    return {**vit.state_dict(), "pos_embed": torch.cat([torch.zeros(1, 384), places])[None]}


@torch.no_grad()
def test_a_moco_v3_vit(vit, tmp_path):
    state = {**with_fixed_positions(vit), "head.0.weight": torch.ones(2, 2)}
    weights = under("module.base_encoder.", state) | under("module.momentum_encoder.", other(state))
    torch.save({"state_dict": weights}, tmp_path / "vit.pth.tar")
    start = read(tmp_path / "vit.pth.tar")
    assert start.backbone.architecture == "vit_small"
    pixels = torch.rand(1, 3, 32, 32)
    expected = vit((pixels - start.backbone.mean) / start.backbone.std)
    torch.testing.assert_close(start.backbone.eval()(pixels), expected)


class Program:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def assert_rejected(file: Path, kind: type[MocosearchError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        read(file)
    assert file.name in caught.value.what
    assert caught.value.hint
    assert "\n" not in caught.value.what + caught.value.hint


def test_a_linear_probe_is_rejected(resnet, tmp_path):
    weights = {"state_dict": under("module.", resnet.state_dict()), "best_acc1": 70.0}
    torch.save(weights, tmp_path / "lincls.pth.tar")
    assert_rejected(tmp_path / "lincls.pth.tar", Unsuitable, "is a linear probe")
    torch.save(resnet.state_dict(), tmp_path / "linear-100ep.pth.tar")
    assert_rejected(tmp_path / "linear-100ep.pth.tar", Unsuitable, "is a linear probe")


def test_code_is_rejected_and_not_run(resnet, tmp_path):
    ran = tmp_path / "ran"
    torch.save({"state_dict": resnet.state_dict(), "x": Program(ran)}, tmp_path / "new.pth")
    assert_rejected(tmp_path / "new.pth", Unsuitable, "more than weights")
    with open(tmp_path / "old.pth", "wb") as file:
        pickle.dump(Program(ran), file)
    with pytest.raises(MocosearchError):
        read(tmp_path / "old.pth")
    assert not ran.exists()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_file_raises_damaged(resnet, tmp_path, old, share):
    file = tmp_path / "cut.pth.tar"
    torch.save(resnet.state_dict(), file, _use_new_zipfile_serialization=not old)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    assert_rejected(file, Damaged, "truncated")


def test_unsupported_networks_are_rejected(resnet, vit, tmp_path):
    file = tmp_path / "some.pth"
    state = resnet.state_dict()
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), file)
    assert_rejected(file, Unsuitable, "no supported network")
    torch.save({n: v for n, v in state.items() if not n.startswith("layer4.1")}, file)
    assert_rejected(file, Unsuitable, "2-2-2-1 basic blocks")
    torch.save({**state, "conv1.weight": torch.ones(64, 3, 3, 3)}, file)
    assert_rejected(file, Unsuitable, "other layers")
    torch.save({**state, "conv1.weight": state["conv1.weight"] / 0}, file)
    assert_rejected(file, Damaged, "not finite")
    torch.save({**with_fixed_positions(vit), "pos_embed": torch.randn(1, 197, 384)}, file)
    assert_rejected(file, Unsuitable, "learned positions")
    torch.save([1, 2], file)
    assert_rejected(file, Unsuitable, "no state_dict")


def test_an_encoder_by_folder(encoder_folder, tmp_path):
    start = start_from(str(encoder_folder))
    encoder = Encoder.open(encoder_folder)
    assert (start.origin, start.side) == (encoder.fingerprint, encoder.side)
    assert (start.licence, start.corpus) == (encoder.card.licence, encoder.card.corpus)
    with pytest.raises(NotFound):
        start_from("nowhere")


def test_keys_without_whitening_preserve_feature_distances(resnet, tmp_path, picture):
    """Without photos the keys are a random projection; the Johnson-Lindenstrauss lemma."""
    torch.save(resnet.state_dict(), tmp_path / "r.pth")
    card = adopt(tmp_path / "r.pth", tmp_path / "enc")
    assert (card.architecture, card.side, card.dimension, card.photos) == ("resnet18", 224, 256, 0)
    assert "not whitened" in card.recipe["keys"]
    assert card.corpus == "what the authors of r.pth say"
    encoder = Encoder.open(tmp_path / "enc")
    photos = np.stack([np.asarray(picture(i, 224, 224)) for i in range(4)])
    descriptor = Descriptor(read(tmp_path / "r.pth").backbone).eval()
    with torch.no_grad():
        features = F.normalize(descriptor.features(torch.from_numpy(photos)))
    expected, actual = torch.pdist(features), torch.pdist(torch.from_numpy(encoder.encode(photos)))
    torch.testing.assert_close(actual, expected, rtol=0.2, atol=0)
    refit = Refit(encoder)
    same, keys = refit.fit(refit.features(photos))
    assert same is encoder
    np.testing.assert_allclose(keys, encoder.encode(photos), atol=0.02)


@pytest.mark.parametrize(("architecture", "matches"), [("resnet18", True), ("resnet50", False)])
def test_published_files_have_licence_and_corpus(
    resnet, tmp_path, monkeypatch, architecture, matches
):
    published = Published("a/b.pth.tar", "", "CC0", architecture)
    monkeypatch.setitem(PUBLISHED, "some", published)
    torch.save(moco_v2(resnet.state_dict()), tmp_path / "b.pth.tar")
    start = read(tmp_path / "b.pth.tar")
    assert start.corpus.startswith("ImageNet's 1.28 million training pictures") == matches
    assert start.licence.startswith("CC0, and yours") == matches
