"""Does `duplicates --against` tell which photos a collection has, and which it has not?

    python -m benchmarks.missing [--versions 300]

With the encoder that comes with mocosearch and the real command. Distinct photos: every second
photo of Caltech-101 is indexed and the others are asked about, then the other way round. Versions:
one photo of the set `copies` is indexed, and its 33 other versions are asked about; then some
photos of Caltech-101 re-encoded, at half the size, turned, mirrored and with other metadata.
Caltech-101 itself has 25 pairs that are one picture, told by looking at all pairs that this
program once printed; they do not count as distinct.
Bars: 0 distinct photos taken for copies; every version of `copies` recognised.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.measure import (
    arguments,
    conclude,
    jpegs,
    linked,
    mocosearch,
    needed,
    say,
    spread,
    table,
    temporary_home,
    title,
)

ONE_PICTURE: dict[str, list[tuple[int, int]]] = {
    "BACKGROUND_Google": [(39, 40), (72, 149), (101, 102)],
    "Motorbikes": [(192, 195)],
    "anchor": [(5, 16)],
    "buddha": [(8, 83)],
    "garfield": [(27, 32)],
    "gerenuk": [(4, 25)],
    "grand_piano": [(3, 46), (9, 72)],
    "ibis": [(76, 79)],
    "llama": [(1, 10)],
    "lotus": [(6, 15)],
    "nautilus": [(20, 33)],
    "octopus": [(18, 35)],
    "pyramid": [(8, 43)],
    "stegosaurus": [(15, 58), (32, 43)],
    "strawberry": [(2, 33)],
    "trilobite": [(11, 22)],
    "water_lilly": [(12, 37)],
}
"""The numbers of photos of a class that show one picture. `Faces_easy` has sections of `Faces`."""
ORIGINAL = "misc-images__modes__original.jpg"


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--versions", type=int, default=300, help="photos changed [300]")
    args = parser.parse_args()
    title(__doc__)
    photos = jpegs(args.photos, 1_000_000)
    wrong = [false_copies(photos[half::2], photos[1 - half :: 2]) for half in (0, 1)]
    of_copies, count = copies_recognised(needed(args.photos / "copies.tsv"))
    rows = [[f"{len(photos)} distinct photos taken for copies", f"{sum(wrong)}", "0"]]
    rows.append(["versions of `copies` recognised", f"{of_copies}", f"{count}"])
    for name, change in CHANGES.items():
        some = spread(photos, args.versions)
        rows.append([f"Caltech-101, {name}", f"{versions(some, change)}", f"{len(some)}"])
    table(["photos", "figure", "wanted"], rows)
    conclude(0, sum(wrong), what="distinct photos taken for copies", unit="", most=True)
    conclude(1.0, of_copies / count, what="versions of `copies` recognised", unit="")


def false_copies(indexed: list[Path], asked: list[Path]) -> int:
    """How many photos are taken for copies of others; each is printed with its copy."""
    with temporary_home() as home:
        linked(indexed, home / "indexed")
        linked(asked, home / "asked")
        groups = ask(home / "indexed", home / "asked")
    wrong = 0
    for group in groups:
        copy = group["copies"][0]
        new = asked[int(Path(group["new"]["path"]).stem)]
        old = indexed[int(Path(copy["paths"][0]).stem)]
        if not show_one_picture(new, old):
            say(f"{new} {old} {copy['agreement']} {copy['score']:.3f} {copy['turned']}")
            wrong += 1
    return wrong


def show_one_picture(one: Path, other: Path) -> bool:
    """Whether two photos of Caltech-101 are versions of one picture."""
    classes = {one.parent.name, other.parent.name}
    numbers = tuple(sorted(int(path.stem.removeprefix("image_")) for path in (one, other)))
    if classes == {"Faces", "Faces_easy"}:
        return numbers[0] == numbers[1]
    return len(classes) == 1 and numbers in ONE_PICTURE.get(classes.pop(), [])


def ask(indexed: Path, asked: Path) -> list[dict[str, Any]]:
    say("indexing and asking")
    mocosearch("index", indexed)
    groups: list[dict[str, Any]] = mocosearch("duplicates", asked, "--against", "--json").json()[
        "groups"
    ]
    return groups


def copies_recognised(manifest: Path) -> tuple[int, int]:
    """How many versions of the bridge are recognised, and how many there are. Of the other
    pictures, which are indexed too, none is a copy.
    """
    folder = manifest.parent
    lines = [line.split("\t") for line in manifest.read_text().splitlines()]
    bridge = [folder / path for path, label in lines if label == "bridge"]
    others = [folder / path for path, label in lines if label != "bridge"]
    asked = [path for path in bridge if path.name != ORIGINAL]
    with temporary_home() as home:
        linked([folder / "copies" / ORIGINAL, *others], home / "indexed")
        linked(asked, home / "asked")
        groups = ask(home / "indexed", home / "asked")
    recognised = {asked[int(Path(g["new"]["path"]).stem)] for g in groups}
    for path in sorted(set(asked) - recognised):
        say(f"not recognised: {path.name}")
    return len(recognised), len(asked)


def versions(photos: Iterable[Path], change: Callable[[Path, Path], None]) -> int:
    """How many photos are recognised after a change."""
    some = list(photos)
    with temporary_home() as home:
        linked(some, home / "indexed")
        (home / "asked").mkdir()
        for number, photo in enumerate(some):
            change(photo, home / "asked" / f"{number:06}.jpg")
        return len(ask(home / "indexed", home / "asked"))


def re_encoded(photo: Path, to: Path) -> None:
    with Image.open(photo) as image:
        image.save(to, quality=60)


def half_size(photo: Path, to: Path) -> None:
    with Image.open(photo) as image:
        image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS).save(to)


def turned(photo: Path, to: Path) -> None:
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(to, quality=90)


def mirrored(photo: Path, to: Path) -> None:
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(to, quality=90)


def with_metadata(photo: Path, to: Path) -> None:
    comment = b"other metadata"
    data = photo.read_bytes()
    # A comment segment (ITU-T T.81, B.2.4.5) after the start of the image.
    to.write_bytes(data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2) + comment + data[2:])


CHANGES: dict[str, Callable[[Path, Path], None]] = {
    "re-encoded at quality 60": re_encoded,
    "half the size": half_size,
    "turned by 90 degrees": turned,
    "mirrored": mirrored,
    "other metadata": with_metadata,
}

if __name__ == "__main__":
    main()
