"""mocosearch duplicates --bursts: photos taken within seconds, and which is the sharpest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.display import one_line, say, show, show_json
from cli.duplicates import size_of

if TYPE_CHECKING:
    from indexes.duplicates.bursts import Burst


def show_bursts(bursts: "Sequence[Burst]", output: str, seconds: float) -> None:
    """The bursts on stdout, as text or json; for people a summary on stderr."""
    if output == "json":
        show_json({"bursts": [_plain(burst) for burst in bursts], "seconds": seconds})
        return
    for burst in bursts:
        first = burst.shots[0].record.taken
        show(f"{first}  {len(burst.shots)} photos, {burst.score:.3f}")
        for shot in burst.shots:
            mark = "sharpest" if shot is burst.sharpest else ""
            share = shot.sharpness / (burst.sharpest.sharpness or 1)
            show(f"  {mark:8}  {share:4.0%}  {size_of(shot.record)}  {one_line(shot.path)}")
    photos = sum(len(burst.shots) for burst in bursts)
    say(f"{len(bursts)} bursts, {photos} photos, in {seconds:.1f} s")


def _plain(burst: "Burst") -> dict[str, Any]:
    shots = [
        {"path": shot.path, "taken": shot.record.taken, "sharpness": round(shot.sharpness, 2)}
        for shot in burst.shots
    ]
    return {"score": burst.score, "sharpest": burst.sharpest.path, "photos": shots}
