"""A baseline of peers_train: the command `lightly-train pretrain`, on a network of torchvision.

Its default method takes a teacher from the internet; this is its DINO, which learns from the
photos alone. Everything but network, view size, batch and time is its default. With --out it then
writes the features of its own command `embed` at the same size, `pooled.npy`, and an encoder that
reads the same network with our descriptor. Prints one JSON line.

    python plain_lightly_train.py PHOTOS --packages WHERE_IT_IS --out FOLDER --seconds 60
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from mocosearch.encoder.card import Card
from mocosearch.moco.backbones import Backbone
from mocosearch.photos import scan
from mocosearch.photos.cache import pixel_cache
from mocosearch.training.finish import write_encoder
from mocosearch.training.recipes import SMALL

PLAIN = {"learned_projection": False}
"""What the card says of the recipe."""
COMMAND = "from lightly_train._cli import _cli_entrypoint; _cli_entrypoint()"
STEPS = "import sys, torch; print(torch.load(sys.argv[1], weights_only=False)['global_step'])"


def run(args: argparse.Namespace, *words: str) -> str:
    """The output of a process that has LightlyTrain and its own packages."""
    environment = os.environ | {
        "PYTHONPATH": os.fspath(args.packages),
        "LIGHTLY_TRAIN_EVENTS_DISABLED": "1",
    }
    line = [sys.executable, "-c", *words]
    return subprocess.run(
        line, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def lightly_train(args: argparse.Namespace, command: str, **options: object) -> None:
    run(args, COMMAND, command, *(f"{name}={json.dumps(value)}" for name, value in options.items()))


def pretrain(args: argparse.Namespace) -> int:
    """Train for so many seconds; returns the number of steps."""
    size, local = [args.size] * 2, [args.size // 2] * 2
    minutes, seconds = divmod(round(args.seconds), 60)
    lightly_train(
        args,
        "pretrain",
        out=str(args.out / "run"),
        data=str(args.photos),
        model=f"torchvision/{args.arch}",
        method="dino",
        epochs=100_000,
        batch_size=args.batch,
        num_workers=2,
        accelerator="cpu",
        transform_args={"image_size": size, "local_view": {"view_size": local}},
        trainer_args={"max_time": {"minutes": minutes, "seconds": seconds}},
    )
    return int(run(args, STEPS, str(args.out / "run" / "checkpoints" / "last.ckpt")))


def embed(args: argparse.Namespace) -> None:
    lightly_train(
        args,
        "embed",
        out=str(args.out / "embeddings.pt"),
        data=str(args.photos),
        checkpoint=str(args.out / "run" / "checkpoints" / "last.ckpt"),
        format="torch",
        image_size=[SMALL.encode_side] * 2,
        accelerator="cpu",
    )
    content = torch.load(args.out / "embeddings.pt")
    by_name = {
        os.path.abspath(args.photos / name): row for row, name in enumerate(content["filenames"])
    }
    files = list(scan([args.photos]))
    rows = [by_name[os.path.abspath(file.path)] for file in files]
    np.save(args.out / "pooled.npy", np.asarray(content["embeddings"])[rows])


def describe(args: argparse.Namespace) -> None:
    """An encoder that reads the trained network with our descriptor."""
    network = Backbone(args.arch)
    exported = args.out / "run" / "exported_models" / "exported_last.pt"
    state = torch.load(exported)
    network.net.load_state_dict({k: v for k, v in state.items() if not k.startswith("fc.")})
    pixels = pixel_cache(list(scan([args.photos])), SMALL.encode_side, args.out / "cache").pixels
    card = Card(network.architecture, SMALL.encode_side, 256, PLAIN, 0, 0, 0, None, "", "")
    write_encoder(network.eval(), pixels, card, args.out / "encoder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument(
        "--packages", type=Path, required=True, help="where LightlyTrain is installed"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=60.0)
    args = parser.parse_args()
    steps = pretrain(args)
    embed(args)
    describe(args)
    print(json.dumps({"images": steps * args.batch, "seconds": args.seconds}))


if __name__ == "__main__":
    main()
