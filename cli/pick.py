"""mocosearch pick: a few photos that stand for many, or those least like all others."""

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.common import Json, ReaderName, reading, require_photos
from cli.display import one_line, say, show, show_json, show_raw

if TYPE_CHECKING:
    from pathlib import Path

    from indexes.pick import Pick

Count = Annotated[int, typer.Argument(metavar="[N]", min=1, help="Number of photos.")]
Odd = Annotated[
    bool, typer.Option("--odd", help="Photos least like all others: screenshots, blanks.")
]


def pick(
    count: Count = 10,
    index: ReaderName = "default",
    odd: Odd = False,
    inside: options.Inside = None,
    outside: options.Outside = None,
    taken: options.Taken = None,
    near: options.Near = None,
    camera: options.Camera = None,
    format: options.Format = None,
    min_side: options.MinSide = 0,
    json: Json = False,
    print0: options.Print0 = False,
    gallery: options.Gallery = None,
) -> None:
    """Pick a few photos that differ as much as possible, and so stand for many.

    Among nearly equal ones, the largest and sharpest is taken: by its shorter side, and by the
    bytes per pixel of its file, because blurred pictures compress better. No photo is read.

    Example: mocosearch pick 50 --in ~/Pictures/2019 --gallery best.html
    """
    start = time.perf_counter()
    if gallery is not None:
        from cli.gallery import check_name

        check_name(gallery)
    from cli.conditions import where_of

    where = where_of(inside, outside, taken, near, camera, format, min_side)
    with reading(index) as opened:
        require_photos(opened)
        picks = opened.pick(count, where, odd=odd)
    if not picks:
        say("No photo matches the filters")
    if json:
        results = [plain(rank, one) for rank, one in enumerate(picks, 1)]
        seconds = time.perf_counter() - start
        show_json({"index": index, "results": results, "seconds": seconds})
    else:
        _show(picks, print0, odd)
    if gallery is not None:
        _save_page(gallery, picks, odd)


def plain(rank: int, one: "Pick") -> dict[str, Any]:
    """A pick for JSON."""
    record = one.record
    return {
        "rank": rank,
        "score": one.score,
        "photos": one.photos,
        "path": record.paths[0],
        "id": one.id,
        "width": record.width,
        "height": record.height,
        "taken": record.taken,
        "missing": one.missing,
    }


def _show(picks: "list[Pick]", print0: bool, odd: bool) -> None:
    from cli.results import notes

    for rank, one in enumerate(picks, 1):
        path = one.record.paths[0]
        if print0:
            show_raw(path, b"\0")
        else:
            photos = "" if odd else f"  {one.photos:6}"
            show(f"{rank:3}  {one.score:6.3f}{photos}  {one_line(path)}{notes(one)}")


def _save_page(page: "Path", picks: "list[Pick]", odd: bool) -> None:
    from cli.gallery import Row, save

    # Whatever happens to the page, the picks have been printed.
    sys.stdout.flush()
    title = "Photos unlike all others" if odd else "Photos that stand for many"
    save(page, [Row(None, "", picks)], title)
