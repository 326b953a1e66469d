"""The words of the command line that describe a question: images, weights, a crop, a score."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from indexes import Crop, Weighted

STDIN = "-"


def images_of(words: Sequence[str]) -> "list[Weighted]":
    """`cat.jpg`, `cat.jpg:2` or `-`, the picture on stdin, which is read here.

    Raises Unreadable if stdin is empty, Unsuitable for a weight that is not above 0.
    """
    from indexes import Weighted
    from mocosearch.errors import Unreadable

    images = []
    for word in words:
        name, weight = split_weight(word)
        if name != STDIN:
            images.append(Weighted(name, weight))
        elif data := sys.stdin.buffer.read():
            images.append(Weighted(data, weight))
        else:
            raise Unreadable(f"cannot read {STDIN}: stdin is empty", "pipe a picture into it")
    return images


def split_weight(word: str) -> tuple[str, float]:
    """`cat.jpg:2` as name and weight; 1 without a weight. A file of that whole name has none."""
    name, colon, number = word.rpartition(":")
    if not colon or not name or os.path.exists(word):
        return word, 1.0
    try:
        return name, float(number)
    except ValueError:
        return word, 1.0


def crop_of(text: str | None) -> "Crop | None":
    """`40,0,200,120` in pixels, or `10%,0%,50%,50%`. Raises typer.BadParameter."""
    if text is None:
        return None
    from indexes import Crop
    from mocosearch.errors import Unsuitable

    parts = text.replace(" ", "").split(",")
    relative = all(part.endswith("%") for part in parts)
    scale = 0.01 if relative else 1.0
    try:
        numbers = [scale * float(part.removesuffix("%") if relative else part) for part in parts]
        left, top, width, height = numbers
        return Crop(left, top, width, height, relative)
    except (ValueError, Unsuitable):
        raise typer.BadParameter(f"{text!r}: write x,y,w,h in pixels, or 10%,0%,50%,50%") from None


def min_score_of(text: str | None) -> tuple[float | None, bool]:
    """The lowest score, and whether results that may be chance are left out.

    Raises typer.BadParameter.
    """
    if text is None or text == "auto":
        return None, text == "auto"
    try:
        return float(text), False
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a score; write 0.5, or auto") from None
