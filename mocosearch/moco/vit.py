"""The Vision Transformer as MoCo v3 trains it (arXiv:2104.02057, sections 4.2 and 4.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.errors import Unsuitable

PATCH = 16
DEPTH = 12
HEADS = 12
"""In ViT-S too: head counts do not show in the shapes of weights, and others' ViT-S has 6."""
WIDTHS = {"vit_small": 384, "vit_base": 768}


class ViT(nn.Module):
    """Patches of 16 pixels, a class token, twelve blocks, and a norm.

    The patch projection stays as it was drawn, which keeps the training from dips (section
    4.2); positions are fixed sines and cosines, computed for whatever grid the picture has.
    Parameters are named as in the authors' files, so that these load. They are drawn as by
    the authors: Xavier's uniform, with query, key and value each a matrix of its own.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.cls_token = nn.Parameter(torch.empty(1, 1, width).normal_(std=1e-6))
        patch = nn.Conv2d(3, width, PATCH, stride=PATCH)
        self.patch_embed = nn.ModuleDict({"proj": patch})
        self.blocks = nn.ModuleList(Block(width) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        bound = math.sqrt(6 / (3 * PATCH * PATCH + width))
        nn.init.uniform_(patch.weight, -bound, bound)
        assert patch.bias is not None
        nn.init.zeros_(patch.bias)
        patch.requires_grad_(False)

    def tokens(self, x: Tensor) -> list[Tensor]:
        """Normed tokens after half of the blocks, three quarters, and all: (n, 1 + hw, width)
        each, the class token first; x is float (n, 3, 16 h, 16 w), mean and spread taken out.
        """
        patches = self.patch_embed["proj"](x)
        h, w = patches.shape[2:]
        x = patches.flatten(2).transpose(1, 2) + positions(h, w, self.width, x.device)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        kept = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in (DEPTH // 2, DEPTH * 3 // 4, DEPTH):
                kept.append(self.norm(x))
        return kept

    def maps(self, x: Tensor) -> list[Tensor]:
        """The patches' tokens as three maps (n, 2 width, h, w) of numbers from 0 up.

        Tokens have either sign and the mean that pools maps is one of positive numbers, so
        each channel becomes two: its positive part and its negative one.
        """
        n, h, w = x.shape[0], x.shape[2] // PATCH, x.shape[3] // PATCH
        maps = [t[:, 1:].transpose(1, 2).reshape(n, self.width, h, w) for t in self.tokens(x)]
        return [torch.cat([F.relu(m), F.relu(-m)], 1) for m in maps]

    def forward(self, x: Tensor) -> Tensor:
        """The class token at the end, (n, width): what the paper trains."""
        token: Tensor = self.tokens(x)[-1][:, 0]
        return token


class Block(nn.Module):
    """Attention, then an MLP, each on normed tokens and added to them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": linear(width, 4 * width), "fc2": linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) in and out."""
        x = x + self.attn(self.norm1(x))
        added: Tensor = self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
        return x + added


class Attention(nn.Module):
    """Every token looks at every token, in 12 heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = linear(width, 3 * width, matrices=3)
        self.proj = linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) in and out."""
        n, tokens, width = x.shape
        parts = self.qkv(x).reshape(n, tokens, 3, HEADS, width // HEADS)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(seen.transpose(1, 2).reshape(n, tokens, width))
        return out


def linear(inputs: int, outputs: int, matrices: int = 1) -> nn.Linear:
    """Xavier's uniform for each of the matrices that lie below each other; no bias yet."""
    layer = nn.Linear(inputs, outputs)
    bound = math.sqrt(6 / (inputs + outputs // matrices))
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)
    return layer


def positions(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """Fixed places, (h w, width): sines and cosines of the row, then of the column, in
    frequencies from 1 down to 1/10000 (section 4.2, "fixed 2-D sine-cosine").
    """
    frequency = 10000 ** -(torch.arange(width // 4, device=device) / (width // 4))
    row, column = (torch.arange(n, device=device)[:, None] * frequency for n in (h, w))
    row, column = row.repeat_interleave(w, 0), column.repeat(h, 1)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], 1)


def check_side(side: int) -> None:
    """Raises Unsuitable for a picture that is no whole number of patches."""
    if side % PATCH:
        nearest = max(PATCH, round(side / PATCH) * PATCH)
        raise Unsuitable(
            f"a ViT reads patches of {PATCH} pixels, and {side} is no multiple of it",
            f"try --size {nearest}",
        )
