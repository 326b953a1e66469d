"""The training loop: photos in, an encoder's folder out."""

import math
import os
import shutil
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
from mocosearch.encoder.runtime import Encoder
from mocosearch.encoder.whitening import Whitening
from mocosearch.errors import Damaged, Mismatch, NoPhotos, NotFound, StorageFailed, Unsuitable
from mocosearch.home import STARTER, home
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.descriptor import Descriptor, features
from mocosearch.photos.cache import LIMIT, PixelCache, pixel_cache
from mocosearch.photos.decode import Pixels
from mocosearch.photos.formats import looks_like_picture
from mocosearch.photos.scan import FileStat, ScanReport, roots_of, scan
from mocosearch.training import checkpoint
from mocosearch.training.loop import Progress, Run, learn, warnings
from mocosearch.training.plan import Plan, as_begun, can_go_on, planned
from mocosearch.training.precision import device_of
from mocosearch.training.recipes import WHITENED_ON, Recipe, fitted
from mocosearch.training.report import report as page_of
from mocosearch.training.schedule import Budget
from mocosearch.training.selection import asked_of, judge
from mocosearch.training.state import Training
from mocosearch.training.teacher import keys_to_resume, teacher_keys

EXPORT = 5.0
"""Seconds to fit the whitening and to write the encoder."""
FEW = 500
"""Photos below which a start from somewhere else is advised, and its whitening counts as well."""


@dataclass(frozen=True)
class Trained:
    """What came out: the card, where it lies, and what happened on the way."""

    card: Card
    """Of the encoder that lies there now."""
    folder: Path
    skipped: dict[str, str]
    interrupted: bool
    reason: str
    warnings: list[str]
    """Signs, each with its number, that the run has taught the network little."""
    kept: bool = False
    """Whether the encoder is an earlier one, for an interrupted run takes the place of none."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be looked into."""


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
    teacher: Encoder | None = None,
    seed: int = 0,
    device: str = "auto",
    cache_bytes: int = LIMIT,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Learn an encoder from the photos below some folders and write it to `folder`.

    epochs: passes over the photos, the recipe's if neither they nor the time is given; 0
        exports the network as it starts.
    seconds: for the whole call, decoding and export included; wins over epochs.
    init: what to start from: an encoder's name or folder, a file of published weights, or
        `none`. It brings its architecture, and its size where no other is given. Left away,
        `small` starts from the starter and the papers' settings from nothing.
    teacher: an encoder whose keys of the photos the network learns to make (`moco.seed`), in
        place of MoCo's loss; the recipe is `seed`, which starts as `small` does.
    device: where to learn: `auto` (an accelerator where torch finds one), `cpu`, `cuda`, `mps`.
    cache_bytes: most that the decoded photos may take on the disk.
    resume: go on with the run that was stopped or killed, with its recipe, seed and end.
    stopped: asked between photos and steps; once true, what is learned becomes the encoder, or
        where there is an earlier one, of another run, waits to be resumed.

    Raises NotFound for a missing folder or nothing to resume, NoPhotos for fewer than 2
    readable photos, Mismatch for other photos than the resumed run's or an architecture that
    `init` does not have, Unsuitable for an unknown recipe, architecture or device and where an
    unfinished run would be lost, Diverged for a loss that is no number, StorageFailed, and what
    `importers.start_from` raises.
    """
    begun = time.monotonic()
    roots = roots_of(photos)
    _writable(folder)
    device_of(device)
    states = checkpoint.folder_of(folder)
    past = _past(states, folder, resume)
    scan_report = ScanReport()
    found = list(scan(roots, scan_report=scan_report))
    files = sum(looks_like_picture(b"", photo.path) for photo in found)
    if past is not None:
        plan = as_begun(past)
    else:
        plan = planned(
            recipe,
            files,
            init=init,
            architecture=architecture,
            epochs=epochs,
            seconds=seconds,
            seed=seed,
            room=cache_bytes,
            teacher=teacher,
        )
        changed = plan.recipe.with_changes(architecture, size, batch, bursts)
        # A whitening is of features seen at one side.
        white = plan.whitening if changed.encode_side == plan.recipe.encode_side else None
        plan = replace(plan, recipe=changed, whitening=white)
    _check_room(plan.recipe, files, cache_bytes)
    report(Progress("recipe", 0, 1, words=f"recipe {plan.recipe.name}: {plan.reason}"))

    def decoded(
        stage: str, files: list[FileStat], side: int, beside: PixelCache | None
    ) -> PixelCache:
        advanced = _advanced(stage, len(files), report, stopped)
        return pixel_cache(
            files, side, home() / "cache", advanced, cache_bytes, beside, again=past is None
        )

    cache = decoded("photos", found, plan.recipe.cache_side, None)
    n = len(cache.pixels)
    if n < 2:
        raise NoPhotos(
            f"{n} readable photos found, training needs at least 2", "name a folder with more"
        )
    if past is not None and (past["photos"], past.get("readable", n)) != (cache.name, n):
        raise Mismatch(
            "the photos are not those that the run began with",
            f"train under another --name, or remove {states} and train anew",
        )
    plan = replace(plan, recipe=fitted(plan.recipe, n))
    some = _some(found, cache, plan.seed)
    sample = decoded("sample", some, plan.recipe.encode_side, cache).pixels
    keys, taught = None, None
    if past is not None and (taught := past.get("taught")):
        keys = keys_to_resume(cache, home() / "cache", taught)
    elif teacher is not None:
        taught, counted = teacher.fingerprint, _advanced("teacher", n, report, stopped)
        keys = teacher_keys(teacher, found, cache, home() / "cache", counted)
        plan = replace(plan, recipe=replace(plan.recipe, dim=keys.shape[1]))
    training = Training(
        plan.start, cache.pixels, plan.recipe, plan.seed, cache.bursts, device, keys
    )
    if past is not None:
        training.restore(past["training"])
        begun -= past["elapsed"]
    earlier = _earlier(folder, past)
    learned = _Learned(training.backbone)
    if plan.epochs != 0:
        checkpoint.clear(states, keep=past is not None)
        about: dict[str, Any] = {"photos": cache.name, "readable": n, "taught": taught}
        about["earlier"] = earlier is not None
        settings = {**plan.state(), **about}
        run = Run(states, settings, begun, 0.0 if past is None else _learned_for(past))
        learned = _learned(training, plan, sample, run, report, stopped)
    told = (cache.skipped, learned.interrupted, plan.reason, learned.signs)
    if learned.interrupted and earlier is not None:
        return Trained(earlier, folder, *told, kept=True, unreadable=scan_report.unreadable)

    report(Progress("encoder", 0, 1))
    card = _card(plan, n, learned, time.monotonic() - begun)
    earlier_white = plan.whitening if n < FEW else None
    card = write_encoder(
        learned.backbone.cpu(), sample, card, folder, learned.page(card), earlier_white
    )
    checkpoint.clear(states, keep=learned.interrupted)
    report(Progress("encoder", 1, 1))
    return Trained(card, folder, *told, unreadable=scan_report.unreadable)


@dataclass(frozen=True)
class _Learned:
    """What a run ends with: the network to keep, how good it is, and what there is to say."""

    backbone: Backbone
    steps: int = 0
    """That it took to make the network."""
    interrupted: bool = False
    quality: dict[str, float] = field(default_factory=dict)
    signs: list[str] = field(default_factory=list)
    page: Callable[[Card], str | None] = lambda card: None


def _learned(
    training: Training,
    plan: Plan,
    sample: Pixels,
    run: Run,
    report: Callable[[Progress], None],
    stopped: Callable[[], bool],
) -> _Learned:
    """Learn until the plan's end, and keep the better of what was learned and the start."""
    asked, begun = asked_of(sample), time.monotonic()
    before = judge(plan.start, asked)
    budget = _budget(training, plan, sample, run, judging=time.monotonic() - begun)
    learn(training, budget, run, lambda: judge(training.backbone, asked).found, report, stopped)
    # Asked here alone: whoever stops it while the encoder is written stops nothing.
    interrupted = stopped() and budget.progress(training.steps) < 1
    if interrupted and run.settings["earlier"]:
        return _Learned(training.backbone, training.steps, interrupted)
    kept, steps, found = training.backbone, training.steps, judge(training.backbone, asked)
    after, signs = found, warnings(training)
    if len(training.pixels) < FEW and plan.parent is None:
        few = f"{len(training.pixels)} photos teach little"
        signs.append(f"{few}: a network that saw more serves better, --init")
    if steps == 0 and not interrupted:
        signs.append("no step was taken: give it more time")
    if found.found < before.found:
        kept, steps, after = plan.start, 0, before
        signs.append(
            f"what was learned finds {found.found:.0%} of hard views' photos, the start "
            f"{before.found:.0%}: the start is kept; train for longer"
        )
    quality = {"found_again": after.found, "found_again_before": before.found}
    chance = training.model.loss_of_chance

    def page(card: Card) -> str:
        return page_of(card, training.losses, chance, asked, before, found)

    return _Learned(kept, steps, interrupted, quality, signs, page)


def _budget(training: Training, plan: Plan, sample: Pixels, run: Run, judging: float) -> Budget:
    """From now on; the time is for the whole call, another judging, the whitening on a sample and
    the export included.
    """
    if plan.seconds is None:
        passes = plan.recipe.epochs if plan.epochs is None else plan.epochs
        steps = passes * max(1, len(training.pixels) // plan.recipe.batch)
        return Budget(steps, None, time.monotonic() - run.learned)
    rest = judging + _seconds_to_export(plan.start, sample)
    begun = time.monotonic() - run.learned
    return Budget(None, run.begun + plan.seconds - rest - begun, begun)


def _card(plan: Plan, photos: int, learned: _Learned, seconds: float) -> Card:
    recipe = plan.recipe
    return Card(
        architecture=recipe.architecture,
        side=recipe.encode_side,
        dimension=recipe.dimension,
        recipe=asdict(recipe),
        photos=photos,
        epochs=learned.steps / max(1, photos // recipe.batch),
        seconds=round(seconds, 1),
        parent=plan.parent,
        licence=plan.licence,
        teacher=plan.teacher if learned.steps else None,
        corpus=plan.trained_on(learned.steps > 0),
        fingerprint="",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        quality=learned.quality,
    )


def write_encoder(
    backbone: Backbone,
    sample: Pixels,
    card: Card,
    folder: Path,
    page: str | None = None,
    prior: Whitening | None = None,
) -> Card:
    """Fit the whitening on a sample, uint8 (n, side, side, 3), and on an earlier one where there
    is one, and write the encoder, with a page about its training where there is one.
    """
    descriptor = Descriptor(backbone).float().eval()
    white = whitening.fit(features(descriptor, sample), card.dimension, prior=prior)
    descriptor.whiten_by(torch.from_numpy(white.centre), torch.from_numpy(white.projection))
    card = replace(card, dimension=white.projection.shape[1])
    return export(descriptor, backbone, card, folder, page, sample)


def _past(states: Path, folder: Path, resume: bool) -> dict[str, Any] | None:
    """The run to resume; one that is not may be lost only where little was learned."""
    past = checkpoint.latest(states)
    if resume and past is None:
        raise NotFound(f"no run of {folder.name} to resume", "begin one without --resume")
    if resume or past is None:
        return past
    learned = _learned_for(past)
    if learned > checkpoint.SECONDS and can_go_on(past):
        hours, minutes = divmod(int(learned / 60), 60)
        spoken = f"{hours} h {minutes} min" if hours else f"{minutes} min"
        raise Unsuitable(
            f"an unfinished run of {folder.name} has learned for {spoken}",
            f"go on with --resume, choose another --name, or remove {states}",
        )
    return None


def _check_room(recipe: Recipe, files: int, limit: int) -> None:
    """Before hours of decoding, rather than after them."""
    need = recipe.stored(files)
    if need > limit:
        there = next(folder for folder in (home(), *home().parents) if folder.exists())
        free = shutil.disk_usage(there).free / 1e9
        raise Unsuitable(
            f"{files} photos take {need / 1e9:.1f} GB decoded, --cache-size allows "
            f"{limit / 1e9:.1f}",
            f"give --cache-size {math.ceil(need / 1e9)}G ({free:.1f} GB of the disk are free), or "
            "train at a smaller --size",
        )


def _learned_for(past: dict[str, Any]) -> float:
    """Seconds; an older version kept those of the whole run alone."""
    seconds: float = past.get("learned", past["elapsed"])
    return seconds


def _earlier(folder: Path, past: dict[str, Any] | None) -> Card | None:
    """The encoder that is there already, unless the resumed run itself has written it."""
    if past is not None and not past.get("earlier", True):
        return None
    try:
        return Encoder.open(folder).card
    except (NotFound, Damaged):
        return None


def _advanced(
    stage: str, total: int, report: Callable[[Progress], None], stopped: Callable[[], bool]
) -> Callable[[int], None]:
    done = 0

    def advanced(photos: int) -> None:
        nonlocal done
        done += photos
        if stopped():
            raise KeyboardInterrupt  # Nothing is learned yet that could be kept.
        report(Progress(stage, done, total))

    return advanced


def _some(found: Sequence[FileStat], cache: PixelCache, seed: int) -> list[FileStat]:
    """Photos for the whitening."""
    order = np.random.default_rng(seed).permutation(len(cache.paths))[:WHITENED_ON]
    chosen = {cache.paths[i] for i in order}
    return [photo for photo in found if photo.path in chosen]


def _seconds_to_export(backbone: Backbone, sample: Pixels) -> float:
    """What whitening and writing the encoder will take, from one batch and a constant."""
    descriptor, some = Descriptor(backbone).eval(), np.array(sample[:64])
    begun = time.monotonic()
    features(descriptor, some)
    return (time.monotonic() - begun) * len(sample) / len(some) + EXPORT


def _writable(folder: Path) -> None:
    """Find out now, and not after the training, that nothing can be written."""
    if folder == STARTER:
        raise Unsuitable("the starter comes with the program", "choose another --name")
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise StorageFailed(f"cannot write to {folder.parent}", "choose another --name or home")
