"""The training loop: photos in, an encoder's folder out."""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mocosearch.encoder import whitening
from mocosearch.encoder.card import Card
from mocosearch.encoder.export import export
from mocosearch.errors import NoPhotos, StorageFailed
from mocosearch.home import home
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor
from mocosearch.moco.moco import MoCo
from mocosearch.moco.recipes import Recipe, choose, fitted
from mocosearch.moco.schedule import Budget, learning_rate, momentum
from mocosearch.moco.views import draw, render
from mocosearch.photos.cache import PixelCache, pixel_cache
from mocosearch.photos.decode import Pixels
from mocosearch.photos.scan import Found, roots_of, scan

WHITENED_ON = 4000
"""Photos that the whitening is fitted on; more than that moves no figure."""


@dataclass(frozen=True)
class Progress:
    """Where a run is. `stage` is one of photos, train, encoder; `done` and `total` count
    photos while decoding and are shares of the run afterwards.
    """

    stage: str
    done: float
    total: float
    loss: float | None = None
    loss_of_chance: float = 0.0
    """log(K + 1), the loss of keys that tell nothing."""
    images_per_second: float = 0.0


@dataclass(frozen=True)
class Trained:
    """What came out: the card, where it lies, and what happened on the way."""

    card: Card
    folder: Path
    refused: dict[str, str]
    interrupted: bool
    reason: str


def train(
    photos: Sequence[str | os.PathLike[str]],
    folder: Path,
    *,
    recipe: str | Recipe = "auto",
    architecture: str | None = None,
    size: int | None = None,
    batch: int | None = None,
    epochs: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Learn an encoder from the photos below some folders and write it to `folder`.

    epochs: passes over the photos; 0 exports the network as it starts, untrained.
    seconds: for the whole call, decoding and export included; wins over epochs.
    stopped: asked between steps; once true, what is learned so far becomes the encoder.

    Raises NotFound for a missing folder, NoPhotos for fewer than 2 readable photos,
    Unsuitable for an unknown recipe or architecture.
    """
    begun = time.monotonic()
    found = list(scan(roots_of(photos)))
    _writable(folder)
    chosen, reason = choose(recipe, len(found)) if isinstance(recipe, str) else (recipe, "given")
    chosen = _overridden(chosen, architecture, size, batch)
    torch.manual_seed(seed)
    backbone = Backbone(chosen.architecture)

    cache = _decoded(found, chosen.cache_side, report)
    n = len(cache.pixels)
    if n < 2:
        raise NoPhotos(
            f"{n} readable photos found, training needs at least 2", "name a folder with more"
        )
    sample = _sample(found, chosen, seed)
    chosen = fitted(chosen, n)

    trained = epochs != 0
    steps_per_epoch = max(1, n // chosen.batch)
    steps = 0
    if trained:
        wanted = (chosen.epochs if epochs is None else epochs) * steps_per_epoch
        reserve = _seconds_to_export(backbone, chosen, len(sample)) if seconds else 0.0
        budget = Budget(
            steps=None if seconds else wanted,
            seconds=None if seconds is None else max(0.0, seconds - reserve),
            begun=begun,
        )
        backbone, steps = _learn(backbone, cache.pixels, chosen, budget, seed, report, stopped)

    report(Progress("encoder", 0, 1))
    learned = time.monotonic() - begun
    card = Card(
        architecture=chosen.architecture,
        side=chosen.encode_side,
        dimension=chosen.dimension,
        recipe=asdict(chosen),
        photos=n,
        epochs=steps / steps_per_epoch,
        seconds=round(learned, 1),
        parent=None,
        fingerprint="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    card = write_encoder(backbone, sample, card, folder)
    report(Progress("encoder", 1, 1))
    return Trained(card, folder, cache.refused, trained and stopped(), reason)


def write_encoder(backbone: Backbone, sample: Pixels, card: Card, folder: Path) -> Card:
    """Fit the whitening on a sample, uint8 (n, side, side, 3), and write the encoder."""
    descriptor = Descriptor(backbone).float().eval()
    white = whitening.fit(features(descriptor, sample), card.dimension)
    descriptor.whiten_by(torch.from_numpy(white.centre), torch.from_numpy(white.projection))
    card = replace(card, dimension=white.projection.shape[1])
    return export(descriptor, backbone, card, folder)


@torch.no_grad()
def features(descriptor: Descriptor, pixels: Pixels, batch: int = 64) -> whitening.Array:
    """The descriptor's unwhitened features of many photos: float32 (n, D)."""
    parts = []
    for start in range(0, len(pixels), batch):
        part = torch.from_numpy(np.array(pixels[start : start + batch]))
        with _autocast():
            parts.append(descriptor.features(part).float().numpy())
    return np.concatenate(parts)


def _learn(
    backbone: Backbone,
    pixels: Pixels,
    recipe: Recipe,
    budget: Budget,
    seed: int,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> tuple[Backbone, int]:
    """The loop itself; returns the query encoder's backbone and the number of steps."""
    model = MoCo(
        lambda: _copy_of(backbone),
        backbone.width,
        dim=recipe.dim,
        K=recipe.K,
        m=recipe.m,
        T=recipe.T,
        mlp=recipe.mlp,
        symmetric=recipe.symmetric,
        splits=recipe.splits,
    ).to(memory_format=torch.channels_last)
    model.train()
    optimizer = torch.optim.SGD(
        model.encoder_q.parameters(), lr=0.0, momentum=0.9, weight_decay=recipe.weight_decay
    )
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    step, ticked, ticked_at = 0, 0, time.monotonic()
    while (progress := budget.progress(step)) < 1 and not stopped():
        if len(order) < recipe.batch:
            order = torch.randperm(len(pixels), generator=generator)
        ids, order = order[: recipe.batch], order[recipe.batch :]
        view_a, view_b = _two_views(pixels, ids, recipe, generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, progress)
        model.m = momentum(recipe, progress)
        with _autocast():
            loss = model(view_a, view_b, ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        now = time.monotonic()
        if now - ticked_at > 0.5:
            rate = (step - ticked) * recipe.batch / (now - ticked_at)
            chance = math.log(recipe.K + 1)
            report(Progress("train", budget.progress(step), 1, loss.item(), chance, rate))
            ticked, ticked_at = step, now
    trained = model.encoder_q[0]
    assert isinstance(trained, Backbone)
    return trained, step


def _two_views(
    pixels: Pixels, ids: Tensor, recipe: Recipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    photos = torch.from_numpy(pixels[ids.numpy()])
    n, side = len(ids), photos.shape[1]
    drawn = [draw(n, side, recipe.size, recipe.views, generator) for _ in range(2)]
    return render(photos, drawn[0], recipe.size), render(photos, drawn[1], recipe.size)


def _decoded(found: Sequence[Found], side: int, report: Callable[[Progress], None]) -> PixelCache:
    done = 0

    def advanced(photos: int) -> None:
        nonlocal done
        done += photos
        report(Progress("photos", done, len(found)))

    return pixel_cache(found, side, home() / "cache", advanced)


def _sample(found: Sequence[Found], recipe: Recipe, seed: int) -> Pixels:
    """Photos for the whitening, at the side that the encoder will see."""
    order = np.random.default_rng(seed).permutation(len(found))[:WHITENED_ON]
    some = [found[i] for i in sorted(order)]
    return pixel_cache(some, recipe.encode_side, home() / "cache").pixels


def _seconds_to_export(backbone: Backbone, recipe: Recipe, n: int) -> float:
    """What whitening and writing the encoder will take, from one batch and a constant."""
    descriptor = Descriptor(backbone).eval()
    some = np.zeros((min(n, 64), recipe.encode_side, recipe.encode_side, 3), np.uint8)
    features(descriptor, some)
    begun = time.monotonic()
    features(descriptor, some)
    return (time.monotonic() - begun) * n / len(some) + 8.0


def _copy_of(backbone: Backbone) -> Backbone:
    copy = Backbone(backbone.architecture)
    copy.load_state_dict(backbone.state_dict())
    return copy


def _autocast() -> torch.autocast:
    """bf16 where the processor computes in it; elsewhere it would only round."""
    return torch.autocast("cpu", torch.bfloat16, enabled=_has_bf16())


def _has_bf16() -> bool:
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def _writable(folder: Path) -> None:
    """Find out now, and not after the training, that nothing can be written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise StorageFailed(f"cannot write to {folder.parent}", "choose another --name or home")


def _overridden(
    recipe: Recipe, architecture: str | None, size: int | None, batch: int | None
) -> Recipe:
    if architecture:
        recipe = replace(recipe, architecture=architecture)
    if size:
        grown = size / recipe.size
        recipe = replace(
            recipe,
            size=size,
            cache_side=round(recipe.cache_side * grown),
            encode_side=round(recipe.encode_side * grown),
        )
    if batch:
        recipe = replace(recipe, batch=batch, lr=recipe.lr * batch / recipe.batch)
    return recipe
