"""Results as pictures: one self-contained HTML page that loads nothing."""

import base64
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.boxes import Box, box_of, draw_box
from cli.display import say
from cli.results import notes
from mocosearch.errors import StorageFailed

if TYPE_CHECKING:
    from indexes import Result
    from indexes.pick import Pick

SIDE = 320
"""Longest side of a picture on the page, in pixels."""
_STATIC = Path(__file__).parent / "web" / "static"
_SHEETS = ("base.css", "gallery.css")
"""Style sheets of the page of `serve` that give this one its look."""
_NARROWEST, _WIDEST = 0.5, 2.6
"""Ratios of width to height outside of which a picture is cropped, as in the grid of `serve`."""


@dataclass(frozen=True)
class Row:
    """One query and its results, best first.

    image: the path or the bytes of the picture, None for results without a query. name: what to
    call it. words: a title of the row.
    """

    image: str | bytes | None
    name: str
    results: Sequence["Result | Pick"]
    words: str = ""
    pictures: Sequence[bytes] = ()
    """Shown in place of the results' own files, one for each, if any."""


def write(
    page: Path,
    rows: Sequence[Row],
    title: str = "Similar photos",
    words: str = "",
    footer: str = "",
) -> None:
    """Write the page; a photo that is gone meanwhile is named without a picture."""
    body = "".join(_section(row) for row in rows)
    text = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{_style()}</style>"
        f"<main><h1>{html.escape(title)}</h1>{_element('p', words)}{body}</main>"
        f"{_element('footer', footer)}</html>\n"
    )
    page.write_text(text, encoding="utf-8", errors="backslashreplace")


def save(page: Path, rows: Sequence[Row], title: str = "Similar photos", problem: str = "") -> None:
    """Write the page and say where it is. Raises StorageFailed where it cannot be; problem: a known
    reason.
    """
    try:
        if not problem:
            write(page, rows, title)
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise StorageFailed(
            f"cannot write the page {page}: {problem}", "name another file with --gallery"
        )
    say(f"gallery: {page}")


def check_name(page: Path) -> None:
    """Raises typer.BadParameter for a page that is not an HTML file."""
    if page.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(f"--gallery {page}: the name must end in .html")


def _style() -> str:
    return "".join((_STATIC / name).read_text(encoding="utf-8") for name in _SHEETS)


def _element(tag: str, words: str) -> str:
    return f"<{tag}>{html.escape(words)}</{tag}>" if words else ""


def _section(row: Row) -> str:
    title = f"<h2>{_escape(row.words)}</h2>" if row.words else ""
    query = ""
    if row.image is not None:
        name = _escape(os.path.basename(row.name) or row.name)
        query = _figure(row.image, f"<b>query</b> {name}", "shot query", row.name)
    pictures: Sequence[bytes | None] = row.pictures or [None] * len(row.results)
    pairs = zip(row.results, pictures, strict=True)
    results = "".join(_result(result, picture) for result, picture in pairs)
    return f"<section>{title}<div class=flow>{query}{results}</div></section>"


def _result(result: "Result | Pick", picture: bytes | None = None) -> str:
    path = result.record.paths[0]
    name = _escape(os.path.basename(path))
    caption = f"<b>{result.score:.3f}</b> {name}{notes(result)}"
    if picture is not None:
        date = (result.record.taken or "no date")[:10]
        return _figure(picture, f"<b>{date}</b> {name}", "shot", path)
    return _figure(path, caption, "shot", path, box_of(result))


def _figure(image: str | bytes, caption: str, kind: str, path: str, box: Box | None = None) -> str:
    picture, ratio = _thumbnail(image, box)
    shown = f"<img alt='' src='data:image/jpeg;base64,{picture}'>" if picture else ""
    style = f"--ratio:{ratio:.3f}"
    return (
        f"<figure class='{kind}' style='{style}' title='{_escape(path)}'>{shown}"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _thumbnail(image: str | bytes, box: Box | None) -> tuple[str, float]:
    """A JPEG in base64 and its ratio of width to height; empty if the picture cannot be read."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode_image

    try:
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        picture = decode_image(data, SIDE)
    except (OSError, Unreadable):
        return "", 1.0
    draw_box(picture, box)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    ratio = min(max(picture.width / picture.height, _NARROWEST), _WIDEST)
    return base64.b64encode(out.getvalue()).decode(), ratio


def _escape(text: str) -> str:
    return html.escape(text.encode("utf-8", "backslashreplace").decode())
