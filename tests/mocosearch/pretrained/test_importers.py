"""Files in each layout that is published, with random weights, beside a reference network."""

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
    """A momentum copy, which must not be taken."""
    return {name: value * 0.5 for name, value in state.items()}


def headless(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("fc.")}


def numbered(state: State) -> State:
    """As a list of the network's children."""
    order = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    parts = ((name.partition("."), value) for name, value in headless(state).items())
    return {f"{order.index(first)}.{rest}": value for (first, _, rest), value in parts}


def moco_v2(s: State) -> object:
    head = {"fc.0.weight": torch.ones(512, 512), "fc.2.weight": torch.ones(128, 512)}
    q, k = {**headless(s), **head}, {**other(headless(s)), **head}
    told = {**under("module.encoder_q.", q), **under("module.encoder_k.", k)}
    told |= {"module.queue": torch.ones(128, 8), "module.queue_ptr": torch.zeros(1)}
    return {"epoch": 200, "arch": "resnet18", "state_dict": told, "optimizer": {"state": {}}}


def moco_v3(s: State) -> object:
    head = under("fc.", mlp([512, 16, 8]).state_dict())
    base, momentum = {**headless(s), **head}, {**other(headless(s)), **head}
    told = {**under("module.base_encoder.", base), **under("module.momentum_encoder.", momentum)}
    return {"state_dict": told | under("module.predictor.", head)}


def openmmlab(s: State) -> object:
    s = headless(s)
    return {"meta": {}, "state_dict": under("encoder_q.0.", s) | under("encoder_k.0.", other(s))}


def lightly(s: State) -> object:
    told = under("backbone.", numbered(s)) | under("backbone_momentum.", other(numbered(s)))
    return {"state_dict": told | {"projection_head.layers.0.weight": torch.ones(2, 2)}}


def lightly_named(s: State) -> object:
    s = headless(s)
    return {"state_dict": under("backbone.", s) | under("key_backbone.", other(s))}


def solo_learn(s: State) -> object:
    s = headless(s)
    told = under("backbone.", s) | under("momentum_backbone.", other(s))
    return {"state_dict": told | {"projector.0.weight": torch.ones(2, 2)}}


LAYOUTS: dict[str, Callable[[State], object]] = {
    "facebookresearch/moco": moco_v2,
    "facebookresearch/moco-v3": moco_v3,
    "OpenMMLab": openmmlab,
    "lightly": lightly,
    "lightly ": lightly_named,
    "solo-learn": solo_learn,
    "solo-learn ": lambda s: {"state_dict": under("encoder.", headless(s))},
    "OpenMMLab ": lambda s: under("backbone.", headless(s)) | {"neck.0.weight": torch.ones(1)},
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
    wanted = body((pixels - mean) / spread).flatten(1)
    torch.testing.assert_close(start.backbone.eval()(pixels), wanted, rtol=1e-4, atol=1e-5)


SPREAD = (0.229, 0.224, 0.225)


def fixed(vit: ViT) -> State:
    places = positions(14, 14, 384, torch.device("cpu"))
    return {**vit.state_dict(), "pos_embed": torch.cat([torch.zeros(1, 384), places])[None]}


@torch.no_grad()
def test_a_vit_of_moco_v3(vit, tmp_path):
    state = {**fixed(vit), "head.0.weight": torch.ones(2, 2)}
    told = under("module.base_encoder.", state) | under("module.momentum_encoder.", other(state))
    torch.save({"state_dict": told}, tmp_path / "vit.pth.tar")
    start = read(tmp_path / "vit.pth.tar")
    assert start.backbone.architecture == "vit_small"
    pixels = torch.rand(1, 3, 32, 32)
    wanted = vit((pixels - start.backbone.mean) / start.backbone.std)
    torch.testing.assert_close(start.backbone.eval()(pixels), wanted)


class Program:
    """Would write a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def skipped(file: Path, kind: type[MocosearchError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        read(file)
    assert file.name in caught.value.what
    assert caught.value.hint
    assert "\n" not in caught.value.what + caught.value.hint


def test_a_probe_is_refused(resnet, tmp_path):
    told = {"state_dict": under("module.", resnet.state_dict()), "best_acc1": 70.0}
    torch.save(told, tmp_path / "lincls.pth.tar")
    skipped(tmp_path / "lincls.pth.tar", Unsuitable, "is a linear probe")
    torch.save(resnet.state_dict(), tmp_path / "linear-100ep.pth.tar")
    skipped(tmp_path / "linear-100ep.pth.tar", Unsuitable, "is a linear probe")


def test_code_is_refused_and_not_run(resnet, tmp_path):
    ran = tmp_path / "ran"
    torch.save({"state_dict": resnet.state_dict(), "x": Program(ran)}, tmp_path / "new.pth")
    skipped(tmp_path / "new.pth", Unsuitable, "more than weights")
    with open(tmp_path / "old.pth", "wb") as file:
        pickle.dump(Program(ran), file)
    with pytest.raises(MocosearchError):
        read(tmp_path / "old.pth")
    assert not ran.exists()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.99])
def test_a_cut_file_is_damaged(resnet, tmp_path, old, share):
    file = tmp_path / "cut.pth.tar"
    torch.save(resnet.state_dict(), file, _use_new_zipfile_serialization=not old)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    skipped(file, Damaged, "truncated")


def test_other_networks_are_refused(resnet, vit, tmp_path):
    file = tmp_path / "some.pth"
    state = resnet.state_dict()
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), file)
    skipped(file, Unsuitable, "no supported network")
    torch.save({n: v for n, v in state.items() if not n.startswith("layer4.1")}, file)
    skipped(file, Unsuitable, "2-2-2-1 basic blocks")
    torch.save({**state, "conv1.weight": torch.ones(64, 3, 3, 3)}, file)
    skipped(file, Unsuitable, "other layers")
    torch.save({**state, "conv1.weight": state["conv1.weight"] / 0}, file)
    skipped(file, Damaged, "not finite")
    torch.save({**fixed(vit), "pos_embed": torch.randn(1, 197, 384)}, file)
    skipped(file, Unsuitable, "learned positions")
    torch.save([1, 2], file)
    skipped(file, Unsuitable, "no state_dict")


def test_an_encoder_of_ours_by_folder(encoder_folder, tmp_path):
    start = start_from(str(encoder_folder))
    encoder = Encoder.open(encoder_folder)
    assert (start.origin, start.side) == (encoder.fingerprint, encoder.side)
    assert (start.licence, start.corpus) == (encoder.card.licence, encoder.card.corpus)
    with pytest.raises(NotFound):
        start_from("nowhere")


def test_adopted_keys_keep_the_distances_of_the_features(resnet, tmp_path, picture):
    """Without photos the keys are a random projection; the law of Johnson and Lindenstrauss."""
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
    wanted, got = torch.pdist(features), torch.pdist(torch.from_numpy(encoder.encode(photos)))
    torch.testing.assert_close(got, wanted, rtol=0.2, atol=0)
    refit = Refit(encoder)
    same, keys = refit.fit(refit.features(photos))
    assert same is encoder
    np.testing.assert_allclose(keys, encoder.encode(photos), atol=0.02)


@pytest.mark.parametrize(("architecture", "known"), [("resnet18", True), ("resnet50", False)])
def test_a_published_file_tells_licence_and_corpus(
    resnet, tmp_path, monkeypatch, architecture, known
):
    published = Published("a/b.pth.tar", "", "CC0", architecture)
    monkeypatch.setitem(PUBLISHED, "known", published)
    torch.save(moco_v2(resnet.state_dict()), tmp_path / "b.pth.tar")
    start = read(tmp_path / "b.pth.tar")
    assert start.corpus.startswith("ImageNet's 1.28 million training pictures") == known
    assert start.licence.startswith("CC0, and yours") == known
