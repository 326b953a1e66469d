"""Bar charts, drawn with Pillow: a plotting library would be ten times as large."""

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
"""Colours of the bars of a group; the first bar is the encoder."""
FORMATS = (".png", ".webp", ".jpg", ".jpeg", ".pdf")


def check(page: Path) -> None:
    """Raises typer.BadParameter for a file that cannot be written as a picture or exists."""
    if page.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"--plot {page}: the name must end in {', '.join(FORMATS)}")
    if not page.absolute().parent.is_dir():
        raise typer.BadParameter(f"--plot {page}: the folder {page.parent} does not exist")
    if page.exists():
        # The file may be a photo.
        raise typer.BadParameter(f"--plot {page}: the file exists; choose another name")


def draw(page: Path, title: str, summary: str, figures: Mapping[str, Mapping[str, float]]) -> None:
    """Write a chart with a group for each metric and in it a bar for each method.

    figures: shares in 0..1 by method, then by metric; all methods have the same metrics.
    """
    from PIL import Image, ImageDraw, ImageFont

    methods = list(figures)
    metrics = list(next(iter(figures.values())))
    group = len(methods) * (BAR + GAP) + BETWEEN
    large, plain = ImageFont.load_default(34), ImageFont.load_default(24)
    lines = wrap(summary, plain, WIDTH - 2 * MARGIN)
    top = MARGIN + 60 + 34 * len(lines) + 84
    picture = Image.new("RGB", (WIDTH, top + group * len(metrics) + MARGIN - BETWEEN), GROUND)
    pen = ImageDraw.Draw(picture)
    pen.text((MARGIN, MARGIN), title, INK, large)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + 60 + 34 * number), line, SOFT, plain)
    _legend(pen, methods, top - 62, plain)
    left, length = MARGIN + LABELS, WIDTH - 2 * MARGIN - LABELS - FIGURES
    for number, metric in enumerate(metrics):
        y = top + number * group
        pen.text((MARGIN, y + (group - BETWEEN) // 2), metric, INK, plain, anchor="lm")
        pen.line((left, y - GAP, left, y + group - BETWEEN), LINE, 2)
        for row, method in enumerate(methods):
            share, bar = figures[method][metric], y + row * (BAR + GAP)
            end = left + round(length * min(max(share, 0.0), 1.0))
            pen.rectangle((left, bar, end, bar + BAR), COLOURS[row % len(COLOURS)])
            ink = INK if row == 0 else SOFT
            pen.text((end + 12, bar + BAR // 2), f"{share:.0%}", ink, plain, anchor="lm")
    picture.save(page)


def _legend(
    pen: "ImageDraw", methods: Sequence[str], y: int, font: "FreeTypeFont | ImageFont"
) -> None:
    x = MARGIN
    for number, method in enumerate(methods):
        pen.rectangle((x, y, x + 24, y + 24), COLOURS[number % len(COLOURS)])
        pen.text((x + 36, y + 12), method, INK, font, anchor="lm")
        x += 36 + round(font.getlength(method)) + 48


def wrap(text: str, font: "FreeTypeFont | ImageFont", width: int) -> list[str]:
    """Lines at most `width` pixels wide, except where a single word is wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
