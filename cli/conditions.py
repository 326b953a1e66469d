"""The filter options, from text to conditions."""

import math
import os
import re
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from indexes import Where

_DAY = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_NEAR = re.compile(r"([-+.\d]+),([-+.\d]+),([.\d]+)(km|m)")


def where_of(
    inside: list[str] | None,
    outside: list[str] | None,
    taken: str | None,
    near: str | None,
    camera: str | None,
    format: str | None,
    min_side: int,
) -> "Where":
    """Conditions from the options of a command. Raises typer.BadParameter."""
    from indexes import Where

    return Where(
        under=tuple(map(_folder, inside or [])),
        not_under=tuple(map(_folder, outside or [])),
        taken=None if taken is None else span(taken),
        near=None if near is None else around(near),
        camera=camera,
        format=format,
        min_side=min_side,
    )


def _folder(text: str) -> str:
    return os.path.abspath(os.path.expanduser(text))


def span(text: str) -> tuple[str, str]:
    """First and last day, month or year of `2019`, `2019..2021-06` or `2019-08-03..`; empty where
    open. Raises typer.BadParameter.
    """
    first, dots, last = text.partition("..")
    bounds = (first, last) if dots else (first, first)
    if not any(bounds) or not all(_is_day(bound) for bound in bounds):
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2019, 2019..2021-06 or 2019-08-03.."
        )
    shorter = min(map(len, bounds))
    if all(bounds) and bounds[0][:shorter] > bounds[1][:shorter]:
        raise typer.BadParameter(f"{text!r} ends before it begins")
    return bounds


def _is_day(text: str) -> bool:
    from datetime import date

    if text and not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat((text + "-01-01")[:10] if len(text) < 10 else text)
    except ValueError:
        return not text
    return True


def around(text: str) -> tuple[float, float, float]:
    """Latitude and longitude in degrees and the radius in kilometres of `48.1,11.6,5km`, or of
    `48.1,11.6,300m`. Raises typer.BadParameter.
    """
    match = _NEAR.fullmatch(text.replace(" ", ""))
    try:
        north, east, radius = map(float, match.groups()[:3] if match else ())
    except ValueError:
        north = east = radius = math.inf
    if match is None or abs(north) > 90 or abs(east) > 180:
        raise typer.BadParameter(f"{text!r} is not a place: write 48.1,11.6,5km (or 300m)")
    return north, east, radius / 1000 if match[4] == "m" else radius
