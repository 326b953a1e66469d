"""Cuts the pictures that the starter's whitening is fitted on.

Tiny-ImageNet's pictures, enlarged from 64 pixels, have no fine structure, and a whitening fitted on
them takes it for rare. Free photos at full size stand in Debian's packages of wallpapers (CC BY,
CC BY-SA, GPL, CC0) and Tux Paint's stamps (GPL and public domain); 1,000 of ImageNet's own, one a
class, in github.com/EliSchwartz/imagenet-sample-images. Each wallpaper gives 24 crops, each stamp
one picture on white, and 1,200 pictures of Tiny-ImageNet stand beside them; nothing but the mean
and the directions of these 3,713 pictures' features enters the starter.

    apt-get download tuxpaint-stamps-default ukui-wallpapers mate-backgrounds \\
        gnome-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
    for package in *.deb; do dpkg-deb -x $package unpacked; done
    python -m benchmarks.starter_photos unpacked tiny-imagenet-200/train \\
        imagenet-sample-images photos
"""

import argparse
import random
import shutil
from pathlib import Path

from PIL import Image

CROPS, SMALL = 24, 1200
SHORT, LONG = 1000, 400
"""Pixels: a wallpaper's shorter side before it is cut, a picture's longer side at the end."""
LEAST = 80


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("unpacked", type=Path)
    parser.add_argument("tiny", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("photos", type=Path)
    args = parser.parse_args()
    args.photos.mkdir(parents=True)
    chance = random.Random(0)
    found = sorted(args.unpacked.rglob("*"))
    # One picture comes in three sizes.
    walls = [p for p in found if p.suffix in (".jpg", ".jpeg") and "Elephants_" not in p.name]
    for wall in walls:
        for number, part in enumerate(crops(wall, chance)):
            part.save(args.photos / f"{wall.stem}-{number:02}.jpg", quality=90)
    for small in chance.sample(sorted(args.tiny.rglob("*.JPEG")), SMALL):
        shutil.copyfile(small, args.photos / small.name)
    for sample in sorted(args.samples.glob("*.JPEG")):
        shutil.copyfile(sample, args.photos / sample.name)
    stamps = [p for p in found if p.suffix == ".png" and "stamps" in p.parts]
    for number, stamp in enumerate(stamps):
        picture = on_white(stamp)
        if picture is not None:
            picture.save(args.photos / f"s{number:04}.jpg", quality=90)


def crops(wall: Path, chance: random.Random) -> list[Image.Image]:
    with Image.open(wall) as opened:
        opened.draft("RGB", (1600, 1600))
        picture = opened.convert("RGB")
    scale = SHORT / min(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    parts = []
    for _ in range(CROPS):
        side = round(min(picture.size) * chance.uniform(0.25, 0.9))
        width, height = min(picture.width, round(side * chance.uniform(0.75, 1.33))), side
        left = chance.randint(0, picture.width - width)
        top = chance.randint(0, picture.height - height)
        part = picture.crop((left, top, left + width, top + height))
        part.thumbnail((LONG, LONG))
        parts.append(part)
    return parts


def on_white(stamp: Path) -> Image.Image | None:
    with Image.open(stamp) as opened:
        picture = opened.convert("RGBA")
    if min(picture.size) < LEAST:
        return None
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    flat = ground.convert("RGB")
    flat.thumbnail((LONG, LONG))
    return flat


if __name__ == "__main__":
    main()
