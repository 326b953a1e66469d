"""The ViT against torchvision's with the same weights, and its positions against a loop."""

import math

import pytest
import torch
from torchvision.models.vision_transformer import VisionTransformer

from mocosearch.errors import Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.vit import ViT, check_side, positions
from mocosearch.training.recipes import SMALL, V3_VIT


@pytest.fixture(scope="module")
def vit() -> ViT:
    torch.manual_seed(0)
    return ViT(384).eval()


def test_positions_match_a_plain_loop():
    h, w, width = 2, 3, 12
    actual = positions(h, w, width, torch.device("cpu"))
    for row in range(h):
        for column in range(w):
            expected = []
            for place in (row, column):
                angles = [place / 10000 ** (i / (width // 4)) for i in range(width // 4)]
                expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            assert actual[row * w + column].tolist() == pytest.approx(expected, abs=1e-6)


def torchvisions(vit: ViT, side: int) -> VisionTransformer:
    """The same weights under torchvision's names."""
    net = VisionTransformer(side, 16, 12, 12, 384, 4 * 384, num_classes=1).eval()
    net.heads = torch.nn.Identity()
    own, state = vit.state_dict(), {}
    places = positions(side // 16, side // 16, 384, torch.device("cpu"))
    state["encoder.pos_embedding"] = torch.cat([torch.zeros(1, 384), places])[None]
    state["class_token"] = own["cls_token"]
    names = {
        "norm1": "ln_1",
        "norm2": "ln_2",
        "attn.proj": "self_attention.out_proj",
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.3",
    }
    for part in ("weight", "bias"):
        state[f"conv_proj.{part}"] = own[f"patch_embed.proj.{part}"]
        state[f"encoder.ln.{part}"] = own[f"norm.{part}"]
        for i in range(12):
            layer = f"encoder.layers.encoder_layer_{i}"
            state[f"{layer}.self_attention.in_proj_{part}"] = own[f"blocks.{i}.attn.qkv.{part}"]
            for ours, theirs in names.items():
                state[f"{layer}.{theirs}.{part}"] = own[f"blocks.{i}.{ours}.{part}"]
    net.load_state_dict(state)
    return net


@torch.no_grad()
def test_matches_torchvisions_transformer(vit):
    pixels = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(vit(pixels), torchvisions(vit, 32)(pixels), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_maps_have_the_layout_of_the_patches(vit):
    """A change in one corner changes that corner's tokens most."""
    pixels = torch.randn(1, 3, 32, 48)
    changed = pixels.clone()
    changed[:, :, 16:, 32:] += 3
    for before, after in zip(vit.maps(pixels), vit.maps(changed), strict=True):
        assert before.shape == (1, 768, 2, 3)
        assert before.min() >= 0
        change = (after - before).square().sum(1).flatten()
        assert change.argmax() == 5


def test_the_patch_projection_is_frozen(vit):
    frozen = {name for name, p in vit.named_parameters() if not p.requires_grad}
    assert frozen == {"patch_embed.proj.weight", "patch_embed.proj.bias"}


def test_sides_must_be_multiples_of_the_patch_size():
    check_side(64)
    with pytest.raises(Unsuitable, match="not a multiple") as caught:
        SMALL.with_changes("vit_small", 100, None)
    assert "--size 96" in caught.value.hint
    assert SMALL.with_changes("vit_small", 48, None).encode_side % 16 == 0
    assert V3_VIT.with_changes("vit_base", None, None).encode_side == 224


def test_a_backbone_standardises_its_input(vit):
    backbone = Backbone("vit_small").eval()
    backbone.net.load_state_dict(vit.state_dict())
    pixels = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        expected = vit((pixels - backbone.mean) / backbone.std)
        torch.testing.assert_close(backbone(pixels), expected)
