"""A training run: photos in, an encoder's folder out."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mocosearch.encoder.card import Card
from mocosearch.encoder.export import METRICS, REPORT, check_destination
from mocosearch.encoder.runtime import Encoder
from mocosearch.errors import StorageFailed, Unsuitable
from mocosearch.evaluation.watch import KnnAccuracy
from mocosearch.home import STARTER
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.collective import processes
from mocosearch.moco.inference import encoding_cost
from mocosearch.moco.precision import resolve_device
from mocosearch.photos.cache import LIMIT
from mocosearch.photos.decode import Pixels
from mocosearch.photos.scan import roots_of
from mocosearch.training import checkpoint
from mocosearch.training.answers import Answers, share_right
from mocosearch.training.collection import (
    Collection,
    check_cache_limit,
    decode_collection,
    find_files,
)
from mocosearch.training.figures.metrics import Metrics
from mocosearch.training.figures.report import render_report
from mocosearch.training.figures.tensorboard import check as check_tensorboard
from mocosearch.training.finish import Learning, export_seconds, make_card, write_encoder
from mocosearch.training.loop import Progress, Run, learn, led, warnings
from mocosearch.training.plan import Options, Plan, make_plan, restore_plan
from mocosearch.training.processes import launch
from mocosearch.training.processes.group import Array, Start, send
from mocosearch.training.recipes import Recipe, fit_to
from mocosearch.training.resume import previous_encoder, state_to_resume, train_seconds
from mocosearch.training.schedule import Budget
from mocosearch.training.selection import ViewRetrieval, subsample, view_retrieval
from mocosearch.training.state import Training
from mocosearch.training.teacher import Keys, agreement

FEW = 500
"""With fewer photos a pretrained start is advised, and its whitening is used as a prior."""

Report = Callable[[Progress], None]
Stopped = Callable[[], bool]


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of `train`."""

    card: Card
    """Of the encoder in `folder`."""
    folder: Path
    skipped: dict[str, str]
    """Photos that could not be read, with the reason."""
    interrupted: bool
    reason: str
    """Why the recipe was chosen."""
    warnings: list[str]
    """Signs, each with its figure, that the run taught the network little."""
    previous: bool = False
    """Whether the encoder is the previous one, which an interrupted run does not replace."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that could not be listed."""


@led
def train(
    photos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    *,
    recipe: str | Recipe = "auto",
    architecture: str | None = None,
    size: int | None = None,
    batch: int | None = None,
    bursts: str | None = None,
    epochs: int | None = None,
    seconds: float | None = None,
    init: str | None = None,
    teacher: Encoder | Sequence[Encoder] = (),
    answers: Answers | None = None,
    seed: int = 0,
    device: str = "auto",
    cache_bytes: int = LIMIT,
    tensorboard: str | os.PathLike[str] | None = None,
    watch_knn: str | os.PathLike[str] | None = None,
    resume: bool = False,
    report: Report = lambda progress: None,
    stopped: Stopped = lambda: False,
) -> TrainingResult:
    """Train an encoder on the photos below one or several folders and write it to `folder`.

    With several processes (`torch.distributed`, initialised) all of them call it and get the same
    result; rank 0 alone reads the photos' folders, is stopped, reports and writes.

    epochs: passes over the photos, by default the recipe's; 0 exports the starting network.
    seconds: time for the whole call, decoding and export included; takes precedence over epochs.
    init: the starting network: an encoder's name or folder, a file of published weights, or
        `none`. It sets the architecture, and the size unless one is given. By default `small`
        starts from the starter, and the papers' settings from random weights.
    teacher: one or several frozen encoders; the network learns to reproduce their similarities
        (`moco.seed`), of several the mean, instead of MoCo's task. The recipe is `seed`, which
        starts as `small` does.
    answers: a person's answers about the photos. Two thirds of them are trained on beside the
        method's loss; the trained network is exported only if it gets more of the others right and
        retrieves as well without labels.
    device: `auto` (an accelerator if torch has one), `cpu`, `cuda` or `mps`.
    cache_bytes: disk space that the decoded photos may take.
    tensorboard: a folder for the figures of the run as scalars; needs tensorboard.
    watch_knn: a manifest of labelled photos, whose kNN accuracy by the network is reported at each
        checkpoint. It has no influence on what is exported.
    resume: continue the run that was stopped or killed, with its recipe, seed and length.
    stopped: polled between photos and between steps. Once true, the network so far is exported,
        unless the folder holds an encoder of another run; then the run can be resumed.

    Raises NotFound for a missing folder or nothing to resume, NoPhotos for fewer than 2 readable
    photos, Mismatch for other photos than the resumed run's or an architecture that `init` does
    not have, Unsuitable for an unknown recipe, architecture or device and if an unfinished run
    would be lost, Diverged for a loss that is not finite, ProcessLost if another process has ended,
    StorageFailed, and what `importers.start_from` and `tensorboard.check` raise.
    """
    start, folder = time.monotonic(), Path(folder)
    roots = roots_of([photos] if isinstance(photos, str | os.PathLike) else list(photos))
    _check_writable(folder)
    board = None if tensorboard is None else check_tensorboard(tensorboard, roots)
    resolve_device(device)
    state = state_to_resume(folder, resume)
    teachers = (teacher,) if isinstance(teacher, Encoder) else tuple(teacher)
    files = find_files(roots)
    network = (init, architecture, size, batch)
    options = Options(*network, bursts, epochs, seconds, seed, teachers, answers)
    plan = _make_plan(state, recipe, files.pictures, options, cache_bytes)
    side = plan.recipe.encode_side
    watch = None if watch_knn is None else KnnAccuracy.of(Path(watch_knn), side)
    report(Progress("recipe", 0, 1, message=_describe(plan)))
    collection = decode_collection(files.files, plan, cache_bytes, state, report, stopped, teachers)
    cache = collection.cache
    plan = replace(plan, recipe=_fit_recipe(plan.recipe, collection))
    previous = previous_encoder(folder, state)
    outcome = _Outcome(plan.start)
    if plan.epochs != 0:
        training = _start_training(plan, collection, device, state)
        start -= 0.0 if state is None else state["elapsed"]
        run = _start_run(folder, plan, collection, start, state, previous)
        outcome = _learn(training, plan, collection, run, report, stopped, board, watch)
    keep = previous if outcome.interrupted else None
    if keep is None:
        report(Progress("encoder", 0, 1))
        card = _write(plan, collection, outcome, folder, start)
        report(Progress("encoder", 1, 1))
    return TrainingResult(
        *(keep or card, folder, cache.skipped, outcome.interrupted, plan.reason, outcome.warnings),
        previous=keep is not None,
        unreadable=files.unreadable,
    )


@dataclass(frozen=True)
class _Outcome:
    """The network to export and what to report about its training."""

    backbone: Backbone
    learning: Learning = field(default_factory=Learning)
    interrupted: bool = False
    warnings: list[str] = field(default_factory=list)
    files: Callable[[Card], dict[str, str]] = lambda card: {}


def _make_plan(
    state: dict[str, Any] | None,
    recipe: str | Recipe,
    pictures: int,
    options: Options,
    cache_bytes: int,
) -> Plan:
    """The plan of a new run, or of the one to resume. Raises what `train` does."""
    if state is not None:
        plan = restore_plan(state)
    else:
        plan = make_plan(recipe, pictures, options, cache_bytes)
    check_cache_limit(plan.recipe, pictures, cache_bytes)
    return plan


def _write(
    plan: Plan, collection: Collection, outcome: _Outcome, folder: Path, start: float
) -> Card:
    """Write the encoder and remove the run's checkpoints, unless it can be continued."""
    n = len(collection.cache.pixels)
    card = make_card(plan, n, outcome.learning, time.monotonic() - start)
    card = write_encoder(
        outcome.backbone.cpu(),
        collection.sample,
        card,
        folder,
        outcome.files(card),
        plan.whitening if n < FEW else None,
        start,
    )
    checkpoint.clear(checkpoint.folder_of(folder), keep=outcome.interrupted)
    return card


def _describe(plan: Plan) -> str:
    """The recipe, the reason for it, and what encoding a photo costs."""
    recipe = plan.recipe
    cost = encoding_cost(recipe.architecture, recipe.encode_side)
    return (
        f"recipe {recipe.name}: {plan.reason}; photos are encoded at {recipe.encode_side} pixels, "
        f"{cost.flops / 1e9:.1f} GFLOPs each"
    )


def _fit_recipe(recipe: Recipe, collection: Collection) -> Recipe:
    """The recipe for so many photos and the dimension of the teacher's keys."""
    recipe = fit_to(recipe, len(collection.cache.pixels), processes())
    keys = collection.keys
    return recipe if keys is None else replace(recipe, dim=keys.shape[1])


def _start_training(
    plan: Plan, collection: Collection, device: str, state: dict[str, Any] | None
) -> Training:
    """The training at its first step, or as the checkpoint has it, in all processes."""
    cache, taught, keys = collection.cache, collection.lessons, collection.keys
    start = Start(
        *(plan.start, Array.of(cache.pixels), plan.recipe, plan.seed),
        cache.bursts if taught is None else taught.groups,
        None if keys is None else Array.of(keys),
        None if taught is None else taught.triples,
        None if state is None else state["training"],
    )
    send(start)
    return start.training(device)


def _start_run(
    folder: Path,
    plan: Plan,
    collection: Collection,
    start: float,
    state: dict[str, Any] | None,
    previous: Card | None,
) -> Run:
    """The run's checkpoints; those of another run are deleted."""
    runs, cache = checkpoint.folder_of(folder), collection.cache
    checkpoint.clear(runs, keep=state is not None)
    photos: dict[str, Any] = {"photos": cache.name, "readable": len(cache.pixels)}
    photos |= {"earlier": previous is not None, "teacher_keys": list(collection.teachers)}
    photos |= {"launcher": launch.launcher()}
    seconds = 0.0 if state is None else train_seconds(state)
    return Run(runs, {**plan.state(), **photos}, start, seconds)


def _learn(
    training: Training,
    plan: Plan,
    collection: Collection,
    run: Run,
    report: Report,
    stopped: Stopped,
    tensorboard: Path | None,
    knn: KnnAccuracy | None,
) -> _Outcome:
    """Train to the plan's end; the result is the better network, the trained or the starting one:
    that with the higher view recall, or with a teacher the higher agreement with it.
    """
    sample = collection.sample
    photos, start = subsample(sample), time.monotonic()
    before = view_retrieval(plan.start, photos)
    budget = _budget(training, plan, sample, run, retrieval_seconds=time.monotonic() - start)
    recall = lambda: view_retrieval(training.backbone, photos).recall  # noqa: E731
    watch = None if knn is None else lambda: knn(training.backbone)
    with closing(Metrics(run.folder, training, budget, tensorboard, watch)) as metrics:
        if training.steps == 0:
            metrics.add(before.recall)
        learn(training, budget, run, metrics, recall, report, stopped)
        # Polled here and not later: stopping while the encoder is written has no effect.
        interrupted = stopped() and budget.progress(training.steps) < 1
        if interrupted and run.settings["earlier"]:
            return _Outcome(training.backbone, Learning(training.steps), interrupted)
        after = view_retrieval(training.backbone, photos)
        metrics.add(after.recall)
    lines = _warnings(training, plan, interrupted)
    backbone, steps, best = training.backbone, training.steps, after
    score, share = _score(collection.sample_keys)
    judged = _judge(plan.start, training.backbone, photos, collection)
    worse = "the starting network is exported; train for longer"
    reason = f"after training {score(after):.0%} {share}, before {score(before):.0%}: {worse}"
    if score(after) >= score(before) and judged and judged[1] <= judged[0]:
        reason = (
            f"after training {judged[1]:.0%} of the answers that were held out are right, before "
            f"{judged[0]:.0%}: {worse}, or give more answers"
        )
    elif score(after) >= score(before):
        reason = ""
    if reason:
        backbone, steps, best = plan.start, 0, before
        lines.append(reason)
    quality = {"view_recall": best.recall, "view_recall_before": before.recall}
    if judged:
        quality |= {"answers": judged[0 if reason else 1], "answers_before": judged[0]}
    if collection.sample_keys is not None:
        quality |= {"teacher_agreement": score(best), "teacher_agreement_before": score(before)}
    chance_loss = training.model.chance_loss

    def files(card: Card) -> dict[str, str]:
        accuracies = metrics.values("knn_accuracy")
        retrievals = (photos, before, after)
        page = render_report(card, training.losses, chance_loss, *retrievals, accuracies)
        return {REPORT: page, METRICS: metrics.text()}

    return _Outcome(backbone, Learning(steps, quality), interrupted, lines, files)


def _judge(
    start: Backbone, trained: Backbone, photos: Pixels, collection: Collection
) -> tuple[float, float] | None:
    """The shares of held-out answers that two networks get right; None without answers."""
    if collection.lessons is None or collection.answered is None:
        return None
    rest = (photos, collection.lessons.held_out, collection.answered)
    return share_right(start, *rest), share_right(trained, *rest)


def _score(teacher: Keys | None) -> tuple[Callable[[ViewRetrieval], float], str]:
    """How good a network is, 0..1, and the share in words; teacher: its keys of the sample."""
    if teacher is None:
        return (lambda retrieval: retrieval.recall), "of hard views retrieve their photo"
    keys = subsample(teacher)
    share = "of the teacher's nearest photos are the network's too"
    return (lambda retrieval: agreement(retrieval.keys, keys)), share


def _warnings(training: Training, plan: Plan, interrupted: bool) -> list[str]:
    lines = warnings(training)
    n = len(training.pixels)
    if n < FEW and plan.parent is None:
        lines.append(f"{n} photos are few for random weights; start from a network with --init")
    if training.steps == 0 and not interrupted:
        lines.append("the time was too short for one training step; give it more")
    return lines


def _budget(
    training: Training, plan: Plan, sample: Pixels, run: Run, retrieval_seconds: float
) -> Budget:
    """The training's share of the plan. A time limit is for the whole call: another view
    retrieval, the whitening of the sample and the export are subtracted.
    """
    start = time.monotonic() - run.train_seconds
    if plan.seconds is None:
        epochs = plan.recipe.epochs if plan.epochs is None else plan.epochs
        steps = epochs * max(1, len(training.pixels) // plan.recipe.batch)
        return Budget(steps, None, start)
    rest = retrieval_seconds + export_seconds(plan.start, sample, plan.recipe.learned_projection)
    start = time.monotonic() - run.train_seconds
    return Budget(None, run.start + plan.seconds - rest - start, start)


def _check_writable(folder: Path) -> None:
    """Fail before the training rather than after it."""
    if folder == STARTER:
        raise Unsuitable("the starter comes with the program", "choose another --name")
    check_destination(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(folder.parent, os.W_OK):
        raise StorageFailed(f"cannot write to {folder.parent}", "choose another --name or home")
