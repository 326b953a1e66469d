"""The demo's own photos: altered crops of pictures that two packages ship, and questions."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image

VIEWS_EACH = 20

PICTURES = {
    "skimage": "data/astronaut.png data/brick.png data/camera.png data/cell.png data/chelsea.png "
    "data/clock_motion.png data/coffee.png data/coins.png data/grass.png data/gravel.png "
    "data/horse.png data/hubble_deep_field.jpg data/ihc.png data/moon.png "
    "data/motorcycle_left.png data/retina.jpg data/rocket.jpg data/text.png",
    "sklearn": "datasets/images/china.jpg datasets/images/flower.jpg",
}
CREDITS = (
    "Pictures: scikit-image's samples (public domain or CC0; see its documentation), and from "
    "scikit-learn china.jpg by danielbuechele and flower.jpg by vultilion, both CC BY 2.0; "
    "cropped and altered by this program."
)


class Question(NamedTuple):
    """A picture to search with: its file, and what was done to the picture."""

    path: Path
    words: str


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
    for name, picture in originals.items():
        for number in range(VIEWS_EACH):
            path = folder / f"{name}-{number:02}.jpg"
            if not path.exists():
                # Hidden until it is complete, because the next demo uses the files that exist.
                part = folder / f".{path.name}"
                _altered(picture, random.Random(path.name)).save(part, quality=88)
                os.replace(part, path)
    return folder


def draw_questions(folder: Path) -> list[Question]:
    """One altered picture for each kind of question; the collection holds none of them."""
    folder.mkdir(parents=True, exist_ok=True)
    originals = dict(_originals())
    drawn = []
    for name, words, alter in QUESTIONS:
        if name in originals:
            path = folder / f"{name}-{words.replace(' ', '-')}.jpg"
            alter(originals[name]).convert("RGB").save(path, quality=88)
            drawn.append(Question(path, words))
    return drawn


def picture_of(path: str | Path) -> str:
    """The name of the picture that a file of the collection or a question shows."""
    return Path(path).stem.partition("-")[0]


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
    share = chance.uniform(0.4, 0.85)
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


def _part(picture: "Image") -> "Image":
    """The middle sixth."""
    w, h = picture.size
    return picture.crop((w * 3 // 10, h * 3 // 10, w * 7 // 10, h * 7 // 10))


def _grey_mirrored(picture: "Image") -> "Image":
    from PIL import ImageOps

    return ImageOps.mirror(picture.convert("L"))


def _small(picture: "Image") -> "Image":
    small = picture.copy()
    small.thumbnail((24, 24))
    return small


def _blurred(picture: "Image") -> "Image":
    from PIL import ImageFilter

    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 40))


def _screenshot(picture: "Image") -> "Image":
    """On the screen of a phone."""
    from PIL import Image

    picture = picture.copy()
    picture.thumbnail((360, 360))
    screen = Image.new("RGB", (360, 760), "black")
    screen.paste(picture, (0, (760 - picture.height) // 2))
    return screen


def _tilted(picture: "Image") -> "Image":
    return picture.rotate(45, expand=True)


def _covered(picture: "Image") -> "Image":
    """A label over a third of it."""
    from PIL import ImageDraw

    picture = picture.copy()
    w, h = picture.size
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, h // 3, w, h * 2 // 3), "white")
    pen.text((w // 5, h * 9 // 20), "postcard", fill="black", font_size=h // 9)
    return picture


def _negative(picture: "Image") -> "Image":
    from PIL import ImageOps

    return ImageOps.invert(picture)


QUESTIONS: tuple[tuple[str, str, "Callable[[Image], Image]"], ...] = (
    ("chelsea", "a sixth of the picture", _part),
    ("motorcycle_left", "mirrored and grey", _grey_mirrored),
    ("coffee", "24 pixels wide", _small),
    ("china", "blurred", _blurred),
    ("rocket", "a screenshot with borders", _screenshot),
    ("astronaut", "tilted", _tilted),
    ("flower", "written over", _covered),
    ("retina", "a negative", _negative),
)
