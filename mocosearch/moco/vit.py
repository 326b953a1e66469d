"""The Vision Transformer as MoCo v3 trains it (arXiv:2104.02057, sections 4.2 and 4.3)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocosearch.errors import Unsuitable

PATCH = 16
DEPTH = 12
HEADS = 12
"""Also in ViT-S. Other libraries' ViT-S has 6, which the shapes of the weights do not show."""
WIDTHS = {"vit_small": 384, "vit_base": 768}


class ViT(nn.Module):
    """Patches of 16 pixels, a class token, twelve blocks, and a layer norm.

    The patch projection is random and frozen, which makes training stable (section 4.2).
    Positions are fixed sines and cosines, computed for the picture's grid. Parameter names match
    the authors' files. Initialisation is theirs: Xavier uniform, with query, key and value as
    separate matrices.
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
        """Normalised tokens after half, three quarters and all of the blocks: (n, 1 + hw, width)
        each, the class token first. x: float (n, 3, 16 h, 16 w), standardised.
        """
        patches = self.patch_embed["proj"](x)
        h, w = patches.shape[2:]
        x = patches.flatten(2).transpose(1, 2) + positions(h, w, self.width, x.device)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1)
        outputs = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x)
            if number in (DEPTH // 2, DEPTH * 3 // 4, DEPTH):
                outputs.append(self.norm(x))
        return outputs

    def maps(self, x: Tensor) -> list[Tensor]:
        """The patch tokens as three maps (n, 2 width, h, w), all non-negative.

        GeM pooling needs non-negative values, so each channel becomes two: its positive and its
        negative part.
        """
        n, h, w = x.shape[0], x.shape[2] // PATCH, x.shape[3] // PATCH
        maps = [t[:, 1:].transpose(1, 2).reshape(n, self.width, h, w) for t in self.tokens(x)]
        return [torch.cat([F.relu(m), F.relu(-m)], 1) for m in maps]

    def forward(self, x: Tensor) -> Tensor:
        """The final class token, (n, width): what the paper trains."""
        token: Tensor = self.tokens(x)[-1][:, 0]
        return token


class Block(nn.Module):
    """Attention and MLP, each with pre-normalisation and a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": linear(width, 4 * width), "fc2": linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) in and out."""
        x = x + self.attn(self.norm1(x))
        residual: Tensor = self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
        return x + residual


class Attention(nn.Module):
    """Multi-head self-attention with 12 heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = linear(width, 3 * width, matrices=3)
        self.proj = linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(n, tokens, width) in and out."""
        n, tokens, width = x.shape
        parts = self.qkv(x).reshape(n, tokens, 3, HEADS, width // HEADS)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.proj(attended.transpose(1, 2).reshape(n, tokens, width))
        return out


def linear(inputs: int, outputs: int, matrices: int = 1) -> nn.Linear:
    """A layer of `matrices` stacked matrices, each initialised by Xavier uniform; zero bias."""
    layer = nn.Linear(inputs, outputs)
    bound = math.sqrt(6 / (inputs + outputs // matrices))
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)
    return layer


def positions(h: int, w: int, width: int, device: torch.device) -> Tensor:
    """Fixed position embeddings, (h w, width): sines and cosines of the row, then of the column,
    with frequencies from 1 to 1/10000 (section 4.2, "fixed 2-D sine-cosine").
    """
    frequency = 10000 ** -(torch.arange(width // 4, device=device) / (width // 4))
    row, column = (torch.arange(n, device=device)[:, None] * frequency for n in (h, w))
    row, column = row.repeat_interleave(w, 0), column.repeat(h, 1)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()], 1)


def check_side(side: int) -> None:
    """Raises Unsuitable for a side that is not a multiple of the patch size."""
    if side % PATCH:
        nearest = max(PATCH, round(side / PATCH) * PATCH)
        raise Unsuitable(
            f"{side} pixels are not a multiple of the ViT's patch size of {PATCH}",
            f"use --size {nearest}",
        )
