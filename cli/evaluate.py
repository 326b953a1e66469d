"""mocosearch evaluate: how well an index finds what belongs together."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.display import say, show, show_json, warn

if TYPE_CHECKING:
    from PIL.Image import Image

    from indexes import Index
    from indexes.segments import Keys

SAMPLE = 200
"""Photos that are altered and asked with."""
THUMBNAIL = 8
ALTERED_SIDE = 256
MANY = 0.9


def evaluate(
    index: Annotated[str, typer.Option(help="Name or path of the index.")] = "default",
    manifest: Annotated[
        Path | None,
        typer.Option(help="Labels: a file of lines, path, tab, label; paths from its folder."),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="The folder that a photo lies in is its label.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure how well an index finds what belongs together.

    Without labels: altered views of some photos (a part, other colours, blurred) ask for their
    own photo among all. With labels: every photo asks for the others of its label.

    Example: mocosearch evaluate --classes
    """
    begun = time.perf_counter()
    if manifest is not None and classes:
        raise typer.BadParameter("--manifest and --classes exclude each other")
    from indexes import Index
    from mocosearch.errors import NoPhotos

    with Index.open(index) as opened:
        if opened.count < 2:
            raise NoPhotos("the index holds too few photos", "fill it: mocosearch index PHOTOS")
        if manifest is None and not classes:
            told, words = without_labels(opened)
        else:
            told, words = with_labels(opened, labels_of(opened, manifest))
    if json:
        show_json(told | {"seconds": time.perf_counter() - begun})
        return
    for name, value in told.items():
        show(f"{name:14} {value:.3f}" if isinstance(value, float) else f"{name:14} {value}")
    say(words)


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


def with_labels(index: "Index", labels: dict[int, str]) -> tuple[dict[str, Any], str]:
    """Figures over the labelled photos, each asking for the others, and what they mean."""
    from cli.question import unit
    from mocosearch.evaluation import precision_at, ranking

    keys, names = unit(index.keys(list(labels))), list(labels.values())
    precision, whole = precision_at(keys, names), ranking(keys, names)
    told = {
        "photos": len(names),
        "labels": len(set(names)),
        "p@1": precision[1],
        "p@10": precision[10],
        "map": whole.average_precision,
        **{f"recall@{k}": share for k, share in whole.recall.items()},
    }
    words = (
        f"the nearest other photo has the same label {precision[1]:.0%} of the time, and "
        f"{10 * precision[10]:.1f} of the nearest ten"
    )
    return told, words


def without_labels(index: "Index") -> tuple[dict[str, Any], str]:
    """How often an altered view finds its photo first, and what that means."""
    import numpy as np

    from cli.question import unit
    from indexes import Where
    from mocosearch.evaluation import effective_rank, found_first

    ids = index.among(Where())
    keys = unit(index.keys(ids))
    order = np.random.default_rng(0).permutation(len(ids))
    rows, pictures = _pictures(index, [int(ids[at]) for at in order], order.tolist())
    small = np.stack([_thumbnail(picture) for picture in pictures])
    told: dict[str, Any] = {"photos": len(ids), "asked": len(rows)}
    means: dict[str, list[float]] = {"keys": [], "thumbnails": []}
    for name, altered in _alterations(pictures).items():
        side = index.encoder.side
        pixels = np.stack([np.asarray(view.resize((side, side))) for view in altered])
        asked = np.concatenate([index.encoder.encode(some) for some in _parts(pixels)])
        views = np.stack([_thumbnail(view) for view in altered])
        told[name] = found_first(keys, asked, rows)
        # Thumbnails choose among the sample alone, which makes it easier for them.
        told[f"{name}, 8x8"] = found_first(small, views, range(len(rows)))
        means["keys"].append(told[name])
        means["thumbnails"].append(told[f"{name}, 8x8"])
    told["effective rank"] = effective_rank(keys)
    mean, plain = (sum(found) / len(found) for found in means.values())
    verdict = "good for finding copies and parts of photos" if mean >= MANY else "not sure of parts"
    words = (
        f"an altered photo finds itself first {mean:.0%} of the time among {len(ids)} photos "
        f"({verdict}); 8x8 thumbnails {plain:.0%} among {len(rows)}. How well photos of one "
        "kind find each other only labels can tell: --classes or --manifest"
    )
    return told, words


def _pictures(
    index: "Index", ids: Sequence[int], rows: Sequence[int]
) -> "tuple[list[int], list[Image]]":
    """The first SAMPLE photos that can still be read, with their rows. Raises NoPhotos."""
    from mocosearch.errors import NoPhotos, Unreadable
    from mocosearch.photos.decode import read, upright

    chosen: list[int] = []
    pictures: list[Image] = []
    for id, row in zip(ids, rows, strict=True):
        try:
            data = read(index.record(id).paths[0])
            pictures.append(upright(data or b"", ALTERED_SIDE))
        except Unreadable:
            continue
        chosen.append(row)
        if len(chosen) == SAMPLE:
            break
    if not chosen:
        raise NoPhotos("no photo of the index can be read", "mount the disk that they lie on")
    return chosen, pictures


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


def _thumbnail(picture: "Image") -> "Keys":
    """8x8 RGB, less its mean, of unit length: float32 (192,)."""
    import numpy as np
    from PIL import Image

    grid = picture.convert("RGB").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BILINEAR)
    flat = np.asarray(grid, np.float32).ravel()
    made: Keys = (flat - flat.mean()) / max(float(np.linalg.norm(flat - flat.mean())), 1e-6)
    return made


def _parts(pixels: Any) -> list[Any]:
    return [pixels[at : at + 32] for at in range(0, len(pixels), 32)]
