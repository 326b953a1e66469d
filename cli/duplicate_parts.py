"""mocosearch duplicates --parts: photos that are parts of others."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cli.display import one_line, progress, say, show, show_json, show_raw

if TYPE_CHECKING:
    from indexes import Index
    from indexes.duplicates.parts import Part


def show_parts(index: "Index", roots: Sequence[str], output: str, start: float) -> None:
    """Find the parts and print them. output: json, paths, print0 or text. start: when the command
    began, in seconds of time.perf_counter().
    """
    from indexes import Where

    with progress() as bar:
        parts = list(
            index.parts(
                Where(under=tuple(roots)),
                lambda done, total: bar("compare", done / max(total, 1), f"{done} of {total}"),
            )
        )
    seconds = time.perf_counter() - start
    if output == "json":
        show_json({"parts": [plain(part) for part in parts], "seconds": seconds})
        return
    for part in parts:
        if output == "text":
            _show_part(part)
        else:
            show_raw(part.record.paths[0], b"\0" if output == "print0" else b"\n")
    say(f"{len(parts)} photos are parts of others, in {seconds:.1f} s")


def plain(part: "Part") -> dict[str, Any]:
    """A part for JSON; `part_of` is the photo to keep."""
    return {
        "path": part.record.paths[0],
        "part_of": part.larger.paths[0],
        "region": asdict(part.region),
        "agreeing": part.agreeing,
        "score": part.score,
    }


def _show_part(part: "Part") -> None:
    region = part.region
    show(
        f"{one_line(part.record.paths[0])}\n"
        f"  is part of {one_line(part.larger.paths[0])}\n"
        f"  at {region.x},{region.y}, {region.w}x{region.h} of "
        f"{part.larger.width}x{part.larger.height} pixels; {part.agreeing} features agree"
    )
