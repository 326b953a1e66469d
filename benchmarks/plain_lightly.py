"""The baseline of peers_train: lightly's own MoCo v2 example, with the network of `small`.

Everything else is as in lightly's documentation: its transforms, head, loss, memory bank of
4,096 keys, SGD at .06, momentum from .996 to 1; fp32, two loader processes. Runs for so many
seconds; with --out it then writes the photos' usual pooled features, `pooled.npy`, and an
encoder that reads the same network with our descriptor. Prints one JSON line.

    PYTHONPATH=WHERE_LIGHTLY_IS python plain_lightly.py PHOTOS --seconds 60
"""

import argparse
import copy
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from lightly.data import LightlyDataset
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms.moco_transform import MoCoV2Transform
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from mocosearch.encoder.card import Card
from mocosearch.moco.backbones import Backbone
from mocosearch.photos import scan
from mocosearch.photos.cache import pixel_cache
from mocosearch.training.finish import write_encoder
from mocosearch.training.recipes import SMALL

PLAIN = {"learned_projection": False}
"""What the card says of the recipe."""
WARM_UP = 8.0
"""Seconds left out of the rate."""


class MoCo(nn.Module):
    """The example's class around another network."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = MoCoProjectionHead(backbone.width, backbone.width, 128)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)

    def forward(self, views: Tensor) -> Tensor:
        return self.projection_head(self.backbone(views))

    def forward_momentum(self, views: Tensor) -> Tensor:
        return self.projection_head_momentum(self.backbone_momentum(views)).detach()


def keep(backbone: Backbone, photos: Path, out: Path) -> None:
    pixels = pixel_cache(list(scan([photos])), SMALL.encode_side, out / "cache").pixels
    with torch.no_grad():
        parts = [
            backbone(torch.from_numpy(np.array(pixels[i : i + 64])).permute(0, 3, 1, 2) / 255)
            for i in range(0, len(pixels), 64)
        ]
    np.save(out / "pooled.npy", torch.cat(parts).numpy())
    card = Card(backbone.architecture, SMALL.encode_side, 256, PLAIN, 0, 0, 0, None, "", "")
    write_encoder(backbone, pixels, card, out / "encoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--arch", default="resnet10")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    photos = LightlyDataset(str(args.photos), transform=MoCoV2Transform(input_size=args.size))
    endless = RandomSampler(photos, num_samples=10**9)
    loader = DataLoader(photos, args.batch, sampler=endless, num_workers=2, drop_last=True)
    model = MoCo(Backbone(args.arch))
    criterion = NTXentLoss(memory_bank_size=(4096, 128))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
    begun, images, first, seconds = time.perf_counter(), 0, 0.0, 0.0
    for (query, key), *_ in loader:
        spent = time.perf_counter() - begun
        if spent > args.seconds:
            break
        momentum = cosine_schedule(int(spent), max(2, int(args.seconds) + 1), 0.996, 1)
        update_momentum(model.backbone, model.backbone_momentum, m=momentum)
        update_momentum(model.projection_head, model.projection_head_momentum, m=momentum)
        loss = criterion(model(query), model.forward_momentum(key))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if spent > WARM_UP:
            images += args.batch
            seconds = time.perf_counter() - begun - first
        else:
            first = time.perf_counter() - begun
    if args.out:
        keep(model.backbone.eval(), args.photos, args.out)
    print(json.dumps({"images": images, "seconds": seconds}))


if __name__ == "__main__":
    main()
