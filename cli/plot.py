"""Shares as bars in a picture, drawn with Pillow: a plotting library would weigh ten times more."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

WIDTH, MARGIN, LABELS, FIGURES = 1200, 56, 250, 90
BAR, GAP, BETWEEN = 34, 6, 34
INK, SOFT, GROUND, LINE = "#1c1c1e", "#6b6b70", "#ffffff", "#e3e3e6"
COLOURS = ("#2f6fed", "#9bb3d6", "#d0d0d5")
"""Of the bars of a group, the first of which is the one that it is about."""
FORMATS = (".png", ".webp", ".jpg", ".jpeg", ".pdf")


def check(page: Path) -> None:
    """Raises typer.BadParameter for a name that no picture can be written to."""
    if page.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"--plot {page}: name a file that ends in {', '.join(FORMATS)}")
    if not page.absolute().parent.is_dir():
        raise typer.BadParameter(f"--plot {page}: there is no folder {page.parent}")
    if page.exists():
        # It may be a photo.
        raise typer.BadParameter(f"--plot {page}: there is such a file; name a new one")


def draw(page: Path, title: str, words: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Write bars: for each measure a group, in it a bar for each way; shares are 0..1.

    figures: by way, then by measure; every way has the same measures.
    """
    from PIL import Image, ImageDraw, ImageFont

    ways = list(figures)
    measures = list(next(iter(figures.values())))
    group = len(ways) * (BAR + GAP) + BETWEEN
    large, plain = ImageFont.load_default(34), ImageFont.load_default(24)
    lines = wrapped(words, plain, WIDTH - 2 * MARGIN)
    top = MARGIN + 60 + 34 * len(lines) + 84
    picture = Image.new("RGB", (WIDTH, top + group * len(measures) + MARGIN - BETWEEN), GROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), title, INK, large)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + 60 + 34 * number), line, SOFT, plain)
    _legend(pen, ways, top - 62, plain)
    left, most = MARGIN + LABELS, WIDTH - 2 * MARGIN - LABELS - FIGURES
    for place, measure in enumerate(measures):
        y = top + place * group
        pen.text((MARGIN, y + (group - BETWEEN) // 2), measure, INK, plain, anchor="lm")
        pen.line((left, y - GAP, left, y + group - BETWEEN), LINE, 2)
        for row, way in enumerate(ways):
            share, at = figures[way][measure], y + row * (BAR + GAP)
            end = left + round(most * min(max(share, 0.0), 1.0))
            pen.rectangle((left, at, end, at + BAR), COLOURS[row % len(COLOURS)])
            ink = INK if row == 0 else SOFT
            pen.text((end + 12, at + BAR // 2), f"{share:.0%}", ink, plain, anchor="lm")
    picture.save(page)


def _legend(
    pen: "ImageDraw", ways: Sequence[str], y: int, font: "FreeTypeFont | ImageFont"
) -> None:
    x = MARGIN
    for number, way in enumerate(ways):
        pen.rectangle((x, y, x + 24, y + 24), COLOURS[number % len(COLOURS)])
        pen.text((x + 36, y + 12), way, INK, font, anchor="lm")
        x += 36 + round(font.getlength(way)) + 48


def wrapped(words: str, font: "FreeTypeFont | ImageFont", width: int) -> list[str]:
    """Words in lines that are no wider than so many pixels, where no single word is."""
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
