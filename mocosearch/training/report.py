"""One page about a run: how the loss fell, and what is near to what before and after."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mocosearch.encoder.card import Card
from mocosearch.photos.decode import Pixels
from mocosearch.training.selection import Judged

ASKED, NEAREST = 10, 5
_WIDTH, _HEIGHT, _POINTS = 640, 200, 160

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1e; --soft: #6b6b70; --ground: #fafafa;
        --line: #d9d9de; --mark: #2f6fed; }
@media (prefers-color-scheme: dark) { :root { --ink: #f2f2f3; --soft: #a0a0a6;
        --ground: #161618; --line: #3a3a40; --mark: #7aa5ff; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--ground);
       margin: 2.5rem auto; max-width: 1080px; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
p, th, text { color: var(--soft); fill: var(--soft); font-weight: normal; font-size: 13px; }
svg { width: 100%; max-width: 640px; height: auto; }
polyline { fill: none; stroke: var(--mark); stroke-width: 1.5; }
line.chance { stroke-dasharray: 4 4; stroke: var(--soft); }
table { border-collapse: collapse; } th { text-align: left; padding: 0 .4rem .4rem; }
td { padding: .25rem .4rem; white-space: nowrap; border-top: 1px solid var(--line); }
img { width: 76px; height: 76px; border-radius: 4px; vertical-align: middle; margin: 1px; }
td.query img { outline: 2px solid var(--mark); }
"""


def report(
    card: Card,
    losses: Sequence[float],
    chance: float,
    photos: Pixels,
    before: Judged,
    after: Judged,
) -> str:
    """The page, self-contained. photos: uint8 (n, side, side, 3), those that were judged."""
    asked = np.linspace(0, len(photos) - 1, min(ASKED, len(photos))).astype(int)
    rows = "".join(_row(number, photos, before, after) for number in asked)
    words = (
        f"{card.photos} photos, {card.epochs:.1f} epochs, {card.seconds:.0f} s, recipe "
        f"{card.recipe['name']}, {card.architecture}. A hard view finds its photo among "
        f"{len(photos)}: {before.found:.0%} before, {after.found:.0%} after."
    )
    if after.found < before.found:
        words += " The start is kept, what was learned is not."
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Training</title><style>{_STYLE}</style><h1>Training</h1><p>{words}</p>"
        f"<h2>Loss</h2>{_curve(losses, chance)}"
        "<h2>Nearest photos</h2><table><tr><th>photo<th>before<th>after</tr>"
        f"{rows}</table><p>This page holds small pictures of your photos: leave it out when you "
        "share the encoder.</p></html>\n"
    )


def _curve(losses: Sequence[float], chance: float) -> str:
    """The loss as a line, means of many steps a point, under the dashed loss of chance."""
    if not losses:
        return "<p>No steps were made.</p>"
    means = [float(part.mean()) for part in np.array_split(losses, min(_POINTS, len(losses)))]
    # The first steps meet a queue of noise, which tells nothing and would squeeze the rest.
    means = means[1:] or means
    top, low = max([*means, chance]), min(means)

    def down(value: float) -> float:
        return 20 + (_HEIGHT - 30) * (top - value) / max(top - low, 1e-9)

    across = np.linspace(0, _WIDTH, len(means)) if len(means) > 1 else [0.0]
    points = " ".join(f"{x:.1f},{down(y):.1f}" for x, y in zip(across, means, strict=True))
    at = down(chance)
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + 20}'>"
        f"<line class=chance x1=0 x2={_WIDTH} y1={at:.1f} y2={at:.1f} />"
        f"<polyline points='{points}' />"
        f"<text x={_WIDTH - 4} y={at - 5:.1f} text-anchor=end>chance {chance:.2f}</text>"
        f"<text x={_WIDTH - 4} y={down(means[-1]) - 6:.1f} text-anchor=end>{means[-1]:.2f}</text>"
        f"<text x=4 y={_HEIGHT + 14}>{len(losses)} steps</text></svg>"
    )


def _row(number: int, photos: Pixels, before: Judged, after: Judged) -> str:
    cells = [_pictures(photos, [number])]
    for judged in (before, after):
        scores = judged.keys @ judged.keys[number]
        scores[number] = -np.inf
        nearest = np.argsort(-scores)[: min(NEAREST, len(photos) - 1)]
        cells.append(_pictures(photos, nearest.tolist()))
    return f"<tr><td class=query>{cells[0]}<td>{cells[1]}<td>{cells[2]}</tr>"


def _pictures(photos: Pixels, numbers: Sequence[int]) -> str:
    return "".join(f"<img alt='' src='{_data(photos[number])}'>" for number in numbers)


def _data(pixels: Pixels) -> str:
    out = io.BytesIO()
    Image.fromarray(np.array(pixels)).resize((96, 96)).save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
