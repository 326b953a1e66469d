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

from cli.display import say
from cli.results import notes
from mocosearch.errors import StorageFailed

if TYPE_CHECKING:
    from indexes import Result
    from indexes.pick import Pick

SIDE = 240
"""Longest side of a picture on the page, in pixels."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #6b6b70; --ground: #fafafa;
        --card: #fff; --line: #e3e3e6; --mark: #2f6fed; }
@media (prefers-color-scheme: dark) { :root { --ink: #f2f2f3; --soft: #a0a0a6;
        --ground: #161618; --card: #222225; --line: #35353a; --mark: #7aa5ff; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground);
       margin: 2.5rem auto; max-width: 1240px; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } p { color: var(--soft); margin: 0 0 1.8rem; }
section { display: grid; grid-template-columns: repeat(auto-fill, minmax(136px, 1fr));
          gap: .8rem; padding: 1.1rem 0; border-top: 1px solid var(--line); }
h2 { grid-column: 1 / -1; font-size: 14px; font-weight: 600; margin: 0; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line);
         border-radius: 8px; overflow: hidden; }
figure.query { border: 2px solid var(--mark); }
img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
figcaption { padding: .35rem .55rem .5rem; font-size: 12px; color: var(--soft);
             overflow-wrap: anywhere; }
figcaption b { color: var(--ink); font-variant-numeric: tabular-nums; }
figure.query b { color: var(--mark); }
.bar { height: 3px; background: var(--mark); opacity: .75; }
footer { color: var(--soft); font-size: 12px; border-top: 1px solid var(--line);
         padding-top: 1rem; }
"""


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
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>{body}"
        f"<footer>{html.escape(footer)}</footer></html>\n"
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


def _section(row: Row) -> str:
    title = f"<h2>{_escape(row.words)}</h2>" if row.words else ""
    query = ""
    if row.image is not None:
        query = _figure(row.image, "<b>query</b> " + _escape(row.name), 0.0, "query")
    return f"<section>{title}{query}{''.join(map(_result, row.results))}</section>"


def _result(result: "Result | Pick") -> str:
    path = result.record.paths[0]
    name = _escape(os.path.basename(path))
    caption = f"<b>{result.score:.3f}</b> {name}{notes(result)}"
    return _figure(path, caption, result.score, "")


def _figure(image: str | bytes, caption: str, score: float, kind: str) -> str:
    bar = f"<div class=bar style='width:{max(score, 0.0):.0%}'></div>" if score else ""
    picture = _thumbnail(image)
    shown = f"<img alt='' src='data:image/jpeg;base64,{picture}'>" if picture else ""
    return f"<figure class='{kind}'>{shown}{bar}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(image: str | bytes) -> str:
    """A JPEG in base64; empty if the picture cannot be read."""
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode_image

    try:
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        picture = decode_image(data, SIDE)
    except (OSError, Unreadable):
        return ""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return base64.b64encode(out.getvalue()).decode()


def _escape(text: str) -> str:
    return html.escape(text.encode("utf-8", "backslashreplace").decode())
