"""The demo's own collection: altered crops of the pictures that two packages ship."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

VIEWS_EACH = 24

PICTURES = {
    "skimage": "data/astronaut.png data/brick.png data/chelsea.png data/coffee.png "
    "data/grass.png data/gravel.png data/hubble_deep_field.jpg data/ihc.png data/camera.png "
    "data/motorcycle_left.png data/moon.png data/retina.jpg data/rocket.jpg data/coins.png",
    "sklearn": "datasets/images/china.jpg datasets/images/flower.jpg",
}
CREDITS = (
    "Pictures: scikit-image's samples (public domain or CC0; see its documentation), and from "
    "scikit-learn china.jpg by danielbuechele and flower.jpg by vultilion, both CC BY 2.0; "
    "cropped, turned brighter or darker, and shifted in colour by this program."
)


def draw_collection(folder: Path) -> Path:
    """A small collection, each file named after its picture and numbered.

    Raises NotFound where neither package is installed.
    """
    from mocosearch.errors import NotFound

    originals = dict(_originals())
    if not originals:
        raise NotFound(
            "the sample pictures are not installed",
            "pip install 'mocosearch[demo]', or name a folder: mocosearch demo --photos FOLDER",
        )
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(0)
    for name, picture in originals.items():
        for number in range(VIEWS_EACH):
            path = folder / f"{name}-{number:02}.jpg"
            altered = _altered(picture, chance)
            if not path.exists():
                # Hidden until it is whole, for the next demo takes what is there.
                part = folder / f".{path.name}"
                altered.save(part, quality=88)
                os.replace(part, path)
    return folder


def picture_of(path: str) -> str:
    """The name of the picture that a file of the collection shows a part of."""
    return Path(path).stem.rpartition("-")[0]


def _originals() -> Iterator[tuple[str, "Image"]]:
    from importlib.util import find_spec

    from PIL import Image

    for package, files in PICTURES.items():
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            for file in files.split():
                path = Path(place) / file
                if path.is_file():
                    with Image.open(path) as image:
                        yield path.stem, image.convert("RGB")


def _altered(picture: "Image", chance: random.Random) -> "Image":
    """Part of a picture, as another photo of the same thing might show it."""
    from PIL import Image, ImageEnhance, ImageOps

    width, height = picture.size
    share = chance.uniform(0.45, 0.85)
    w, h = int(width * share * chance.uniform(0.85, 1.1)), int(height * share)
    left, top = chance.randint(0, width - min(w, width)), chance.randint(0, height - h)
    part = picture.crop((left, top, min(left + w, width), top + h))
    part = ImageEnhance.Brightness(part).enhance(chance.uniform(0.6, 1.35))
    part = ImageEnhance.Color(part).enhance(chance.uniform(0.5, 1.4))
    bands = [
        band.point([min(255, int(i * gain)) for i in range(256)])
        for band, gain in ((band, chance.uniform(0.88, 1.12)) for band in part.split())
    ]
    part = Image.merge("RGB", bands)
    if chance.random() < 0.3:
        part = ImageOps.mirror(part)
    part.thumbnail((400, 400))
    return part
