"""Results as pictures: one self-contained HTML page, nothing loaded from anywhere."""

import base64
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.results import and_copies

if TYPE_CHECKING:
    from indexes import Match

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
    """One question: the image's bytes, what to call it, and its matches, best first.

    copies: how many of each match are not shown; none where it is empty.
    words: a line to stand above them.
    """

    image: bytes
    name: str
    matches: Sequence["Match"]
    copies: Sequence[int] = ()
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


def _section(row: Row) -> str:
    asked = _figure(row.image, "<b>query</b> " + _escaped(row.name), 0.0, "query")
    found = "".join(
        _figure(
            _bytes(match.record.paths[0]),
            f"<b>{match.score:.3f}</b> {_escaped(os.path.basename(match.record.paths[0]))}"
            + and_copies(copies),
            match.score,
            "",
        )
        for match, copies in zip(row.matches, row.copies or [0] * len(row.matches), strict=True)
    )
    words = f"<h2>{_escaped(row.words)}</h2>" if row.words else ""
    return f"<section>{words}{asked}{found}</section>"


def _figure(image: bytes, caption: str, score: float, kind: str) -> str:
    bar = f"<div class=bar style='width:{max(score, 0.0):.0%}'></div>" if score else ""
    picture = _thumbnail(image)
    shown = f"<img alt='' src='data:image/jpeg;base64,{picture}'>" if picture else ""
    return f"<figure class='{kind}'>{shown}{bar}<figcaption>{caption}</figcaption></figure>"


def _thumbnail(image: bytes) -> str:
    from mocosearch.errors import Unreadable
    from mocosearch.photos.decode import decode_image

    try:
        picture = decode_image(image, SIDE)
    except Unreadable:
        return ""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=82)
    return base64.b64encode(out.getvalue()).decode()


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "backslashreplace").decode())
