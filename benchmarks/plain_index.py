"""The baseline of index_speed: a plain loop that embeds a folder.

One process, Pillow, fp32, 32 photos at a time, keys into a NumPy file. It prints one JSON line.

    python plain_index.py PHOTOS ENCODER KEYS.npy
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor

BATCH = 32


def load(encoder: Path) -> tuple[Descriptor, int]:
    """The encoder's network and descriptor in torch, and the side of its input in pixels.

    The file of weights contains no whitening. An identity of the same shape replaces it: the keys
    differ from the encoder's, the work is the same.
    """
    card = json.loads((encoder / "card.json").read_text())
    backbone = Backbone(card["architecture"])
    backbone.load_state_dict(load_file(encoder / "weights.safetensors"))
    descriptor = Descriptor(backbone).eval()
    with torch.no_grad():
        side = card["side"]
        width = descriptor.features(torch.zeros(1, side, side, 3, dtype=torch.uint8)).shape[1]
    descriptor.set_whitening(torch.zeros(width), torch.eye(width, card["dimension"]))
    return descriptor, side


def pixels(path: Path, side: int) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB").resize((side, side))))


def main() -> None:
    photos, encoder, out = map(Path, sys.argv[1:])
    descriptor, side = load(encoder)
    start_time = time.perf_counter()
    files = sorted(photos.iterdir())
    keys = []
    with torch.no_grad():
        for start in range(0, len(files), BATCH):
            batch = torch.stack([pixels(path, side) for path in files[start : start + BATCH]])
            keys.append(descriptor(batch).numpy())
    np.save(out, np.concatenate(keys))
    seconds = time.perf_counter() - start_time
    print(json.dumps({"embedded": len(files), "seconds": seconds}))


if __name__ == "__main__":
    main()
