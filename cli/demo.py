"""mocosearch demo: the whole road, from photos to a page of answers."""

import random
import time as clock
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.display import say, show, show_json

if TYPE_CHECKING:
    from PIL.Image import Image

QUERIES = 6
RESULTS = 7
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


def demo(
    photos: Annotated[
        Path | None, typer.Option(help="Your own folder, in place of sample pictures.")
    ] = None,
    time: Annotated[str, typer.Option("--for", help="Time for training: 90s, 20m.")] = "90s",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train, index and query, and write the answers as one page of pictures.

    Example: mocosearch demo --photos ~/Pictures --for 20m
    """
    from cli.gallery import Row, write
    from cli.index import index
    from cli.question import read_image
    from cli.train import train
    from indexes import Index
    from mocosearch.errors import Unreadable
    from mocosearch.home import home
    from mocosearch.photos import scan
    from mocosearch.photos.scan import roots_of

    folder = home() / "demo"
    if photos is None:
        say("1/4 sample pictures")
        photos = draw_collection(folder / "photos")
    root = roots_of([photos])
    say(f"2/4 train on {root[0]} for {time}")
    _tolerant(lambda: train(root, name="demo", time=time))
    say("3/4 index")
    _tolerant(lambda: index(root, index="demo", encoder="demo"))
    say("4/4 query")
    rows: list[Row] = []
    begun = clock.perf_counter()
    with Index.open("demo") as opened:
        files = [found.path for found in scan(root)]
        random.Random(1).shuffle(files)
        while files and len(rows) < QUERIES:
            path = files.pop()
            with suppress(Unreadable):
                image, pixels = read_image(path, opened.encoder.side)
                matches = opened.query(opened.encoder.encode(pixels[None]), RESULTS + 1)[0]
                others = [m for m in matches if path not in m.record.paths][:RESULTS]
                rows.append(Row(image, Path(path).name, others))
        images = opened.info()["images"]
    seconds = clock.perf_counter() - begun
    page = folder / "results.html"
    folder.mkdir(parents=True, exist_ok=True)
    write(
        page,
        rows,
        title="Where are the others like this?",
        words=f"{len(rows)} queries among {images} photos, {seconds / len(rows) * 1000:.0f} ms "
        "each; the picture asked with stands left, in blue, and is left out of its answers.",
        footer="" if photos != folder / "photos" else CREDITS,
    )
    if json:
        show_json({"page": str(page), "queries": len(rows), "images": images})
    else:
        show(f"{page}")


def _tolerant(step: Callable[[], None]) -> None:
    """Go on where a step was done but for some refused files."""
    try:
        step()
    except typer.Exit as end:
        if end.exit_code != 3:
            raise


def draw_collection(folder: Path) -> Path:
    """A small collection of altered crops of the pictures that two packages ship.

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
                altered.save(path, quality=88)
    return folder


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
