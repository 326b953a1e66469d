"""The training loop: photos in, an encoder's folder out."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mocosearch.encoder import whitening
from mocosearch.encoder.card import Card
from mocosearch.encoder.export import check_place, export
from mocosearch.errors import Mismatch, NoPhotos, NotFound, StorageFailed, Unsuitable
from mocosearch.home import STARTER, home
from mocosearch.moco import checkpoint
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor, features
from mocosearch.moco.loop import Progress, Run, learn, warnings
from mocosearch.moco.plan import Plan, as_begun, planned
from mocosearch.moco.precision import device_of
from mocosearch.moco.recipes import Recipe, fitted
from mocosearch.moco.report import report as page_of
from mocosearch.moco.schedule import Budget
from mocosearch.moco.selection import PHOTOS, asked_of, judge
from mocosearch.moco.training import Training
from mocosearch.photos.cache import LIMIT, PixelCache, pixel_cache
from mocosearch.photos.decode import Pixels
from mocosearch.photos.scan import Found, roots_of, scan

FEW = 500
"""Photos below which a start from somewhere else is advised."""
WHITENED_ON = 4000
"""Photos that the whitening is fitted on; more than that moves no figure."""


@dataclass(frozen=True)
class Trained:
    """What came out: the card, where it lies, and what happened on the way."""

    card: Card
    folder: Path
    refused: dict[str, str]
    interrupted: bool
    reason: str
    warnings: list[str]
    """Signs, each with its number, that the run has taught the network little."""


def train(
    photos: Sequence[str | os.PathLike[str]],
    folder: Path,
    *,
    recipe: str | Recipe = "auto",
    architecture: str | None = None,
    size: int | None = None,
    batch: int | None = None,
    bursts: str | None = None,
    epochs: int | None = None,
    seconds: float | None = None,
    init: str | None = None,
    seed: int = 0,
    device: str = "auto",
    cache_bytes: int = LIMIT,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Learn an encoder from the photos below some folders and write it to `folder`.

    epochs: passes over the photos; 0 exports the network as it starts, untrained.
    seconds: for the whole call, decoding and export included; wins over epochs.
    init: what to start from: an encoder's name or folder, a file of published weights, or
        `none`. It brings its architecture, and its size where no other is given. Left away,
        `small` starts from the starter and the papers' settings from nothing.
    device: where to learn: `auto` (an accelerator where torch finds one), `cpu`, `cuda`, `mps`.
    cache_bytes: most that the decoded photos may take on the disk.
    resume: go on with the run that was stopped or killed, with its recipe, seed and end.
    stopped: asked between photos and steps; once true, what is learned becomes the encoder.

    Raises NotFound for a missing folder or nothing to resume, NoPhotos for fewer than 2
    readable photos, Mismatch for other photos than the resumed run's or an architecture that
    `init` does not have, Unsuitable for an unknown recipe, architecture or device, Diverged for a
    loss that is no number, and what `importers.start_from` raises.
    """
    begun = time.monotonic()
    found = list(scan(roots_of(photos)))
    _writable(folder)
    device_of(device)
    states = checkpoint.folder_of(folder)
    past = _past(states, folder) if resume else None
    if past is not None:
        plan = as_begun(past)
    else:
        plan = planned(
            recipe,
            len(found),
            init=init,
            architecture=architecture,
            epochs=epochs,
            seconds=seconds,
            seed=seed,
        )
        plan = replace(plan, recipe=plan.recipe.with_changes(architecture, size, batch, bursts))

    cache = _decoded(found, plan.recipe.cache_side, cache_bytes, report, stopped)
    n = len(cache.pixels)
    if n < 2:
        raise NoPhotos(
            f"{n} readable photos found, training needs at least 2", "name a folder with more"
        )
    plan = replace(plan, recipe=fitted(plan.recipe, n))
    chosen = plan.recipe
    sample = _sample(found, cache, chosen, plan.seed)
    training = Training(plan.start, cache.pixels, chosen, plan.seed, cache.bursts, device)
    steps_per_epoch = max(1, n // chosen.batch)
    if past is not None:
        if past["photos"] != cache.name:
            raise Mismatch("the photos are not those that the run began with", "train anew")
        training.restore(past["training"])
        begun -= past["elapsed"]
    learned = _Learned(training.backbone)
    if plan.epochs != 0:
        checkpoint.clear(states, keep=past is not None)
        run = Run(states, {**plan.state(), "photos": cache.name}, begun)
        learned = _learned(training, plan, sample, steps_per_epoch, run, report, stopped)

    report(Progress("encoder", 0, 1))
    card = Card(
        architecture=chosen.architecture,
        side=chosen.encode_side,
        dimension=chosen.dimension,
        recipe=asdict(chosen),
        photos=n,
        epochs=training.steps / steps_per_epoch,
        seconds=round(time.monotonic() - begun, 1),
        parent=plan.parent,
        licence=plan.licence,
        fingerprint="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        quality=learned.quality,
    )
    card = write_encoder(learned.backbone.cpu(), sample, card, folder, learned.page(card))
    interrupted = plan.epochs != 0 and stopped()
    checkpoint.clear(states, keep=interrupted)
    report(Progress("encoder", 1, 1))
    return Trained(card, folder, cache.refused, interrupted, plan.reason, learned.signs)


@dataclass(frozen=True)
class _Learned:
    """What a run ends with: the network to keep, how good it is, and what there is to say."""

    backbone: Backbone
    quality: dict[str, float] = field(default_factory=dict)
    signs: list[str] = field(default_factory=list)
    page: Callable[[Card], str | None] = lambda card: None


def _learned(
    training: Training,
    plan: Plan,
    sample: Pixels,
    steps_per_epoch: int,
    run: Run,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> _Learned:
    """Learn until the plan's end, and keep the better of what was learned and the start."""
    recipe, n = plan.recipe, len(training.pixels)
    asked = asked_of(sample)
    before = judge(plan.start, asked)
    if plan.seconds is None:
        passes = recipe.epochs if plan.epochs is None else plan.epochs
        budget = Budget(steps=passes * steps_per_epoch, seconds=None, begun=run.begun)
    else:
        reserve = _seconds_to_export(plan.start, recipe, len(sample))
        seconds = max(0.0, plan.seconds - reserve)
        budget = Budget(steps=None, seconds=seconds, begun=run.begun)
    losses = learn(
        training, budget, run, lambda: judge(training.backbone, asked).found, report, stopped
    )
    kept, signs = training.backbone, warnings(training, losses)
    if n < FEW and plan.parent is None:
        signs.append(f"{n} photos teach little: a network that saw more serves better, --init")
    after = judge(kept, asked)
    if after.found < before.found:
        kept = plan.start
        signs.append(
            f"what was learned finds {after.found:.0%} of hard views' photos, the start "
            f"{before.found:.0%}: the start is kept; train for longer"
        )
    quality = {"found_again": after.found, "found_again_before": before.found}
    chance = training.model.loss_of_chance
    return _Learned(
        kept, quality, signs, lambda card: page_of(card, losses, chance, asked, before, after)
    )


def write_encoder(
    backbone: Backbone, sample: Pixels, card: Card, folder: Path, page: str | None = None
) -> Card:
    """Fit the whitening on a sample, uint8 (n, side, side, 3), and write the encoder, with a
    page about its training where there is one.
    """
    descriptor = Descriptor(backbone).float().eval()
    white = whitening.fit(features(descriptor, sample), card.dimension)
    descriptor.whiten_by(torch.from_numpy(white.centre), torch.from_numpy(white.projection))
    card = replace(card, dimension=white.projection.shape[1])
    return export(descriptor, backbone, card, folder, page, sample)


def _past(states: Path, folder: Path) -> dict[str, Any]:
    past = checkpoint.latest(states)
    if past is None:
        raise NotFound(f"no run of {folder.name} to resume", "begin one without --resume")
    return past


def _decoded(
    found: Sequence[Found],
    side: int,
    limit: int,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> PixelCache:
    done = 0

    def advanced(photos: int) -> None:
        nonlocal done
        done += photos
        if stopped():
            raise KeyboardInterrupt  # Nothing is learned yet that could be kept.
        report(Progress("photos", done, len(found)))

    return pixel_cache(found, side, home() / "cache", advanced, limit)


def _sample(found: Sequence[Found], cache: PixelCache, recipe: Recipe, seed: int) -> Pixels:
    """Photos for the whitening, at the side that the encoder will see."""
    order = np.random.default_rng(seed).permutation(len(cache.paths))[:WHITENED_ON]
    chosen = {cache.paths[i] for i in order}
    some = [photo for photo in found if photo.path in chosen]
    return pixel_cache(some, recipe.encode_side, home() / "cache").pixels


def _seconds_to_export(backbone: Backbone, recipe: Recipe, n: int) -> float:
    """What judging, whitening and writing the encoder will take, from one batch and a constant."""
    descriptor = Descriptor(backbone).eval()
    some = np.zeros((min(n, 64), recipe.encode_side, recipe.encode_side, 3), np.uint8)
    features(descriptor, some)
    begun = time.monotonic()
    features(descriptor, some)
    return (time.monotonic() - begun) * (n + 2 * min(n, PHOTOS)) / len(some) + 8.0


def _writable(folder: Path) -> None:
    """Find out now, and not after the training, that nothing can be written."""
    if folder == STARTER:
        raise Unsuitable("the starter comes with the program", "choose another --name")
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise StorageFailed(f"cannot write to {folder.parent}", "choose another --name or home")
