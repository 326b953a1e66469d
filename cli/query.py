"""mocosearch query: the photos nearest to an image."""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.common import IndexName, Json
from cli.display import detail, ended, say, show_json, show_raw, warn, warn_skipped


def query(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...",
            help="Picture files or folders of them; cat.jpg:2 counts twice; - reads stdin.",
        ),
    ] = None,
    index: IndexName = "default",
    top: Annotated[
        int, typer.Option("-k", "--top", metavar="N", min=1, help="How many results.")
    ] = 10,
    min_score: Annotated[
        str | None,
        typer.Option(metavar="X", help="Least score, or auto: leave out what may be chance."),
    ] = None,
    minus: Annotated[
        list[str] | None,
        typer.Option(metavar="IMAGE", help="Unlike this picture; may be given again."),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H", help="A region of the image: x,y,w,h in pixels, or 10%,0%,50%,50%."
        ),
    ] = None,
    turned: Annotated[
        bool, typer.Option("--turned", help="Try the image turned and mirrored too, 8 ways.")
    ] = False,
    inside: Annotated[
        list[str] | None,
        typer.Option("--in", metavar="FOLDER", help="Photos in this folder; may be given again."),
    ] = None,
    outside: Annotated[
        list[str] | None,
        typer.Option("--not-in", metavar="FOLDER", help="Not in this folder; may be given again."),
    ] = None,
    taken: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When taken: 2019, 2019..2021-06, 2020-08-03.. ."),
    ] = None,
    near: Annotated[
        str | None,
        typer.Option(
            metavar="LAT,LON,KM", help="Where taken: latitude,longitude,distance: 48.1,11.6,5km."
        ),
    ] = None,
    camera: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Part of the camera's name.")
    ] = None,
    format: Annotated[
        str | None, typer.Option(metavar="NAME", help="Format: jpeg, heic, png.")
    ] = None,
    min_side: Annotated[
        int, typer.Option(metavar="N", min=0, help="Pixels of the shorter side, at least.")
    ] = 0,
    all: Annotated[
        bool, typer.Option("--all", help="Show copies of one picture on lines of their own.")
    ] = False,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Stay open, and ask on from the results.")
    ] = False,
    json: Json = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print paths alone.")] = False,
    print0: Annotated[
        bool, typer.Option("-0", "--print0", help="Print paths, each ended by a zero byte.")
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Draw the results in the terminal.")
    ] = False,
    gallery: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the results as one HTML page with pictures."),
    ] = None,
    open: Annotated[
        bool, typer.Option("--open", help="Open the page of results in the browser.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
) -> None:
    """Find the photos that look like an image; of several images, like their mean.

    Copies of one picture share a line in the table and on the page; --json, --paths and -0
    list every file.

    Example: mocosearch query beach.jpg -k 20 --taken 2019..2021
    """
    begun = time.perf_counter()
    once = (minus, crop, turned, min_score, all, json, paths, print0, preview, gallery, open)
    if interactive and any(once):
        raise typer.BadParameter("--interactive goes with -k, the filters and --no-color alone")
    if not images and not interactive:
        raise typer.BadParameter("name at least one image, or use --interactive")
    if gallery is not None and gallery.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--gallery {gallery}: name a file that ends in .html")
    from PIL import Image

    from cli.conditions import where_of
    from cli.question import Crop, ask
    from cli.results import show_lines
    from cli.search import check_filled, search
    from indexes import Index

    # decode.MAX_PIXELS is the limit, as it is for indexing.
    Image.MAX_IMAGE_PIXELS = None
    where = where_of(inside, outside, taken, near, camera, format, min_side)
    region = None if crop is None else Crop.of(crop)
    least, auto = _least(min_score)
    machine = json or paths or print0
    with Index.open(index) as opened:
        check_filled(opened)
        opened.encoder.prepare()
        opened.prepare()
        if interactive:
            from cli.interactive import converse

            converse(opened, images or [], top, where, no_color)
            return
        encoding = time.perf_counter()
        question = ask(opened.encoder, images or [], minus or [], region, turned)
        searching = time.perf_counter()
        find = partial(search, opened, question.keys, top, where, least, auto)
        found = find(fold=not (all or machine))
        done = time.perf_counter()
        detail(
            f"opened in {encoding - begun:.3f} s, the question's key made in "
            f"{searching - encoding:.3f} s, {len(opened)} photos searched "
            f"in {done - searching:.3f} s"
        )
        page = _page(gallery, open)
        folded = find(fold=True).lines if page and (all or machine) else found.lines
    warn_skipped(question.skipped)
    if not found.lines:
        say("no photo fits: the filters or --min-score leave none")
    if page is not None:
        from cli.gallery import Row, write

        matches, copies = [line.match for line in folded], [line.copies for line in folded]
        write(page, [Row(question.image, (images or [""])[0], matches, copies)])
        say(f"gallery: {page}")
    if json:
        from cli.results import plain

        seconds = {
            "total": time.perf_counter() - begun,
            "encode": searching - encoding,
            "search": done - searching,
        }
        results = [plain(rank, line) for rank, line in enumerate(found.lines, 1)]
        show_json({"query": images, "index": index, "results": results, "seconds": seconds})
    elif paths or print0:
        for line in found.lines:
            show_raw(line.match.record.paths[0], b"\0" if print0 else b"\n")
    else:
        show_lines(found.lines, found.better, no_color)
        if preview and sys.stdout.isatty():
            from cli.preview import draw

            draw([line.match.record.paths[0] for line in found.lines])
    if open and page is not None:
        _look_at(page)
    ended(False, len(question.skipped))


def _least(text: str | None) -> tuple[float | None, bool]:
    """The least score, and whether chance decides. Raises typer.BadParameter."""
    if text is None or text == "auto":
        return None, text == "auto"
    try:
        return float(text), False
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no score; write 0.5, or auto") from None


def _page(gallery: Path | None, open: bool) -> Path | None:
    """Where the page of results goes; one that is only looked at goes to the home."""
    if gallery is not None or not open:
        return gallery
    from mocosearch.home import home

    page = home() / "cache" / "results.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    return page


def _look_at(page: Path) -> None:
    """Open it in the browser, which may write what it likes, though not among our results."""
    import webbrowser

    sys.stdout.flush()
    ours, kept = sys.stdout.fileno(), os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), ours)
    try:
        shown = webbrowser.open(page.absolute().as_uri())
    finally:
        os.dup2(kept, ours)
        os.close(kept)
    if not shown:
        warn(f"no browser could be started: open {page} in one")
