"""mocosearch evaluate: how well an index finds what belongs together."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import IndexName, Json
from cli.display import progress, say, show, show_json, warn

if TYPE_CHECKING:
    from PIL.Image import Image

    from cli.beside import Figures
    from indexes import Index

SAMPLE = 200
"""Photos that are altered and asked with."""
COMPARED = 2000
"""Labelled photos, at most, that the other ways are measured on."""
MANY = 0.9


@dataclass(frozen=True)
class Verdict:
    """What was measured of the index; the same photos in three ways; and what that means."""

    figures: dict[str, Any]
    beside: "Figures"
    compared: int
    words: str


def evaluate(
    index: IndexName = "default",
    manifest: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Labels: a file of lines, path, tab, label; paths from its folder."
        ),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="The folder that a photo lies in is its label.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw the comparison: a .png, .webp or .pdf file."),
    ] = None,
    json: Json = False,
) -> None:
    """Measure how well an index finds what belongs together.

    Without labels: altered views of some photos (a part, other colours, blurred) ask for their
    own photo. With labels: every photo asks for the others of its label. Beside the encoder
    stand its network untrained and 8x8 thumbnails, on the same photos.

    Example: mocosearch evaluate --classes --plot evaluation.png
    """
    begun = time.perf_counter()
    if manifest is not None and classes:
        raise typer.BadParameter("--manifest and --classes exclude each other")
    if plot is not None:
        from cli.plot import check

        check(plot)
    from indexes import Index
    from mocosearch.errors import NoPhotos

    with Index.open(index) as opened:
        if len(opened) < 2:
            raise NoPhotos("the index holds too few photos", "fill it: mocosearch index PHOTOS")
        if manifest is None and not classes:
            verdict = without_labels(opened)
        else:
            verdict = with_labels(opened, labels_of(opened, manifest))
    if plot is not None:
        from cli.plot import draw

        draw(plot, "How often is it the right photo?", verdict.words, verdict.beside)
        say(f"plot: {plot}")
    if json:
        beside = {"photos": verdict.compared, **verdict.beside}
        seconds = time.perf_counter() - begun
        show_json(verdict.figures | {"beside": beside, "seconds": seconds})
        return
    for name, value in verdict.figures.items():
        show(f"{name:14} {value:.3f}" if isinstance(value, float) else f"{name:14} {value}")
    show(f"\non the same {verdict.compared} photos alone:")
    for line in table(verdict.beside):
        show(line)
    say(verdict.words)


def table(figures: "Figures") -> list[str]:
    """A line a way, a column a measure."""
    measures = list(next(iter(figures.values())))
    widths = [max(len(measure), 6) for measure in measures]
    heads = "  ".join(m.rjust(w) for m, w in zip(measures, widths, strict=True))
    lines = [f"{'':21} {heads}"]
    for way, told in figures.items():
        values = "  ".join(f"{told[m]:.3f}".rjust(w) for m, w in zip(measures, widths, strict=True))
        lines.append(f"{way:21} {values}")
    return lines


def labels_of(index: "Index", manifest: Path | None) -> dict[int, str]:
    """A label for each photo by id: from a manifest, or the name of the photo's folder.

    Raises Unreadable, and NoPhotos where no photo of a manifest is in the index.
    """
    from indexes import Where
    from mocosearch.errors import NoPhotos, Unreadable

    if manifest is None:
        paths = ((int(id), index.record(int(id)).paths[0]) for id in index.among(Where()))
        return {id: os.path.basename(os.path.dirname(path)) for id, path in paths}
    try:
        lines = manifest.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        pairs = [line.split("\t") for line in lines if line.strip()]
        wanted = {os.path.abspath(manifest.parent / path): label for path, label in pairs}
    except (OSError, ValueError) as error:
        raise Unreadable(
            f"cannot read {manifest}: {error}", "each line is a path, a tab and a label"
        ) from error
    labels: dict[int, str] = {}
    for path, label in wanted.items():
        entry = index.entry(path)
        if entry is not None:
            labels[entry.id] = label
    if not labels:
        raise NoPhotos(
            f"no photo of {manifest} is in the index", "index its folder: mocosearch index PHOTOS"
        )
    if len(labels) < len(wanted):
        warn(f"{len(wanted) - len(labels)} of {len(wanted)} photos are not in the index, or copies")
    return labels


def with_labels(index: "Index", labels: dict[int, str]) -> Verdict:
    """Figures over the labelled photos, each asking for the others, and what they mean."""
    import numpy as np

    from cli import beside
    from cli.question import unit
    from mocosearch.evaluation import precision_at, ranking

    ids, names = list(labels), list(labels.values())
    keys = unit(index.keys(ids))
    precision, whole = precision_at(keys, names), ranking(keys, names)
    told = {
        "photos": len(names),
        "labels": len(set(names)),
        "p@1": precision[1],
        "p@10": precision[10],
        "map": whole.average_precision,
        **{f"recall@{k}": share for k, share in whole.recall.items()},
    }
    order = np.random.default_rng(0).permutation(len(ids)).tolist()
    rows, pictures = _pictures(index, ids, order, COMPARED)
    chosen = [names[row] for row in rows]
    figures = beside.by_labels(beside.ways(index, pictures), pictures, chosen)
    words = (
        f"The nearest other photo has the same label {precision[1]:.0%} of the time, and "
        f"{10 * precision[10]:.1f} of the nearest ten. {_compared(figures, 'p@1', len(rows))}"
    )
    return Verdict(told, figures, len(rows), words)


def without_labels(index: "Index") -> Verdict:
    """How often an altered view finds its photo first, and what that means."""
    import numpy as np

    from cli import beside
    from cli.question import unit
    from indexes import Where
    from mocosearch.evaluation import effective_rank, found_first

    ids = [int(id) for id in index.among(Where())]
    keys = unit(index.keys(ids))
    order = np.random.default_rng(0).permutation(len(ids)).tolist()
    rows, pictures = _pictures(index, ids, order, SAMPLE)
    ways = beside.ways(index, pictures)
    asked = beside.asked(ways, _alterations(pictures))
    found = {kind: found_first(keys, a, rows) for kind, a in asked[beside.ENCODER].items()}
    told: dict[str, Any] = {"photos": len(ids), "asked": len(rows), **found}
    told["effective rank"] = effective_rank(keys)
    figures = beside.by_views(ways, pictures, asked)
    for told_of in figures.values():
        told_of["mean"] = sum(told_of.values()) / len(told_of)
    mean = sum(found.values()) / len(found)
    verdict = "good for finding copies and parts of photos" if mean >= MANY else "not sure of parts"
    words = (
        f"An altered photo finds itself first {mean:.0%} of the time among {len(ids)} photos "
        f"({verdict}). {_compared(figures, 'mean', len(rows))} How well photos of one kind find "
        "each other only labels can tell: --classes or --manifest."
    )
    return Verdict(told, figures, len(rows), words)


def _compared(figures: "Figures", measure: str, asked: int) -> str:
    """What one measure of the three ways says about the encoder."""
    from cli.beside import more_than

    (_, mine), *others = ((way, told[measure]) for way, told in figures.items())
    known = " and ".join(f"{share:.0%} by {way}" for way, share in others)
    sense = (
        "it has learned what neither knows"
        if more_than(mine, [share for _, share in others], asked)
        else "no sure gain yet; train for longer, or on more photos"
    )
    return f"Among the same {asked} photos it is {mine:.0%}, against {known}: {sense}."


def _pictures(
    index: "Index", ids: Sequence[int], order: Sequence[int], most: int
) -> "tuple[list[int], list[Image]]":
    """The first `most` photos in an order that can still be read, with their rows in `ids`.

    Raises NoPhotos for fewer than two.
    """
    from cli.beside import SIDE
    from mocosearch.errors import NoPhotos, Unreadable
    from mocosearch.photos.decode import read, upright

    rows: list[int] = []
    pictures: list[Image] = []
    wanted = min(most, len(ids))
    with progress() as bar:
        for row in order:
            if len(rows) == wanted:
                break
            try:
                pictures.append(upright(read(index.record(ids[row]).paths[0]) or b"", SIDE))
            except Unreadable:
                continue
            rows.append(row)
            bar("photos", len(rows) / wanted, f"{len(rows)} of {wanted}")
    if len(rows) < 2:
        raise NoPhotos("too few photos can be read", "mount the disk that they lie on")
    return rows, pictures


def _alterations(pictures: "Sequence[Image]") -> "dict[str, list[Image]]":
    """What becomes of a photo that is shared: a part of it, other colours, blurred."""
    from PIL import ImageEnhance, ImageFilter

    def part(picture: "Image") -> "Image":
        w, h = picture.size
        return picture.crop((w // 5, h // 5, max(w * 4 // 5, w // 5 + 1), max(h, h // 5 + 1)))

    def colours(picture: "Image") -> "Image":
        faded = ImageEnhance.Color(picture).enhance(0.3)
        return ImageEnhance.Brightness(faded).enhance(1.3)

    def blurred(picture: "Image") -> "Image":
        return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 60))

    ways = {"a part": part, "other colours": colours, "blurred": blurred}
    return {name: [way(picture) for picture in pictures] for name, way in ways.items()}
