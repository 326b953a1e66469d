"""An HTML page about a run: the loss curve, and nearest photos before and after training."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from mocosearch.encoder.card import Card
from mocosearch.photos.decode import Pixels
from mocosearch.training.selection import ViewRetrieval

QUERIES, NEIGHBOURS = 10, 5
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


def render_report(
    card: Card,
    losses: Sequence[float],
    chance_loss: float,
    photos: Pixels,
    before: ViewRetrieval,
    after: ViewRetrieval,
    knn_accuracies: Sequence[float] = (),
) -> str:
    """A self-contained page.

    losses: one per step. chance_loss: the loss of uninformative keys.
    photos: uint8 (n, side, side, 3), those of `before` and `after`, the retrieval by the network
        before and after training.
    knn_accuracies: of the labelled photos over time, 0..1.
    """
    queries = np.linspace(0, len(photos) - 1, min(QUERIES, len(photos))).astype(int)
    rows = "".join(_row(number, photos, before, after) for number in queries)
    summary = (
        f"{card.photos} photos, {card.epochs:.1f} epochs, {card.seconds:.0f} s, recipe "
        f"{card.recipe['name']}, {card.architecture}. Share of hard views whose nearest of "
        f"{len(photos)} photos is their own: {before.recall:.0%} before, {after.recall:.0%} after."
    )
    if after.recall < before.recall:
        summary += " The encoder keeps the starting network; the trained one is discarded."
    if knn_accuracies:
        shares = ", ".join(f"{accuracy:.1%}" for accuracy in knn_accuracies)
        summary += f" kNN accuracy of the labelled photos over time: {shares}."
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width'>"
        f"<title>Training</title><style>{_STYLE}</style><h1>Training</h1><p>{summary}</p>"
        f"<h2>Loss</h2>{_curve(losses, chance_loss)}"
        "<h2>Nearest photos</h2><table><tr><th>photo<th>before<th>after</tr>"
        f"{rows}</table><p>This page contains small copies of your photos: delete it before you "
        "share the encoder.</p></html>\n"
    )


def _curve(losses: Sequence[float], chance_loss: float) -> str:
    """An SVG line, each point the mean of several steps, and the chance loss as a dashed line."""
    if not losses:
        return "<p>No training steps.</p>"
    means = [float(part.mean()) for part in np.array_split(losses, min(_POINTS, len(losses)))]
    # The first losses are against a queue of noise and would compress the rest of the curve.
    means = means[1:] or means
    top, low = max([*means, chance_loss]), min(means)

    def y_of(value: float) -> float:
        return 20 + (_HEIGHT - 30) * (top - value) / max(top - low, 1e-9)

    xs = np.linspace(0, _WIDTH, len(means)) if len(means) > 1 else [0.0]
    points = " ".join(f"{x:.1f},{y_of(y):.1f}" for x, y in zip(xs, means, strict=True))
    chance_y = y_of(chance_loss)
    return (
        f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT + 20}'>"
        f"<line class=chance x1=0 x2={_WIDTH} y1={chance_y:.1f} y2={chance_y:.1f} />"
        f"<polyline points='{points}' />"
        f"<text x={_WIDTH - 4} y={chance_y - 5:.1f} text-anchor=end>chance {chance_loss:.2f}</text>"
        f"<text x={_WIDTH - 4} y={y_of(means[-1]) - 6:.1f} text-anchor=end>{means[-1]:.2f}</text>"
        f"<text x=4 y={_HEIGHT + 14}>{len(losses)} steps</text></svg>"
    )


def _row(number: int, photos: Pixels, before: ViewRetrieval, after: ViewRetrieval) -> str:
    cells = [_pictures(photos, [number])]
    for retrieval in (before, after):
        scores = retrieval.keys @ retrieval.keys[number]
        scores[number] = -np.inf
        nearest = np.argsort(-scores)[: min(NEIGHBOURS, len(photos) - 1)]
        cells.append(_pictures(photos, nearest.tolist()))
    return f"<tr><td class=query>{cells[0]}<td>{cells[1]}<td>{cells[2]}</tr>"


def _pictures(photos: Pixels, numbers: Sequence[int]) -> str:
    return "".join(f"<img alt='' src='{_data_url(photos[number])}'>" for number in numbers)


def _data_url(pixels: Pixels) -> str:
    out = io.BytesIO()
    Image.fromarray(np.array(pixels)).resize((96, 96)).save(out, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()
