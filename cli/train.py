"""mocosearch train: train an encoder on photos."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import Json
from cli.display import (
    Bar,
    duration,
    finish,
    interruptible,
    progress,
    say,
    show_json,
    stop_event,
    warn,
    warn_skipped,
)
from cli.display import size as size_of

if TYPE_CHECKING:
    from mocosearch.encoder import Card, Encoder
    from mocosearch.training.answers import Answers
    from mocosearch.training.loop import Progress
    from mocosearch.training.run import TrainingResult


Photos = Annotated[
    list[str],
    typer.Argument(metavar="PHOTOS...", help="Folders of photos, with their subfolders."),
]
Name = Annotated[str, typer.Option(metavar="NAME", help="Name or path of the new encoder.")]
RecipeName = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="small (ours), v1, v2 or v3 (the papers' settings), or auto."
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="resnet10, resnet18, resnet34, resnet50, vit_small or vit_base."
    ),
]
Size = Annotated[
    int | None, typer.Option(metavar="N", min=32, max=512, help="Training crop size in pixels.")
]
Batch = Annotated[
    int | None, typer.Option(metavar="N", min=2, help="Photos per training step, of all processes.")
]
Bursts = Annotated[
    str | None,
    typer.Option(
        metavar="USE",
        help="Photos of one burst: masked as negatives of each other, or positive as well.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Passes over the photos; 0 exports the starting network without training "
        "[default: 200; v3: 100, its ViTs: 300].",
    ),
]
For = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="Time limit for everything: 90s, 20m, 1h30m."),
]
Init = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Start from an encoder, a file of published weights, or none "
        "[default: starter; none for the papers' recipes and other architectures].",
    ),
]
Teacher = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Learn from an encoder, or from that of an index, instead of by MoCo; repeatable.",
    ),
]
FromAnswers = Annotated[
    bool,
    typer.Option("--from-answers", help="Learn from the answers of looks and of --ignore, too."),
]
AnswersIndex = Annotated[
    str, typer.Option("--index", metavar="NAME", help="With --from-answers: whose photos they are.")
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="cpu, cuda, mps, or auto: an accelerator if there is one."),
]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Seed of all random numbers.")
]
CacheSize = Annotated[
    str, typer.Option(metavar="SIZE", help="Disk space that decoded photos may take.")
]
TensorBoard = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Also write the figures of the run for TensorBoard."),
]
WatchKnn = Annotated[
    Path | None,
    typer.Option(
        metavar="MANIFEST",
        help="Also report how well these labels are predicted by kNN: lines of path, tab, label.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue a stopped or killed run with its settings.")
]


def train(
    photos: Photos,
    name: Name = "default",
    recipe: RecipeName = "auto",
    arch: Architecture = None,
    size: Size = None,
    batch: Batch = None,
    bursts: Bursts = None,
    epochs: Epochs = None,
    time: For = None,
    init: Init = None,
    teacher: Teacher = None,
    from_answers: FromAnswers = False,
    index: AnswersIndex = "default",
    device: Device = "auto",
    seed: Seed = 0,
    cache_size: CacheSize = "8G",
    tensorboard: TensorBoard = None,
    watch_knn: WatchKnn = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Train an encoder on your photos. It needs no labels.

    Ctrl-C exports what is learned so far, unless the name already has an encoder from an earlier
    run; --resume continues.

    With several GPUs: torchrun --nproc-per-node 2 -m cli train PHOTOS

    Example: mocosearch train ~/Pictures --for 20m
    """
    if _follow(device):
        return
    seconds, cache_bytes = None if time is None else duration(time), size_of(cache_size)
    if seconds is not None and epochs is not None:
        raise typer.BadParameter("--for and --epochs exclude each other")
    fixed: dict[str, object] = {"--arch": arch, "--size": size, "--batch": batch, "--for": time}
    fixed |= {"--recipe": recipe != "auto", "--epochs": epochs is not None}
    fixed |= {"--bursts": bursts, "--init": init, "--seed": seed, "--teacher": teacher}
    fixed |= {"--from-answers": from_answers}
    _check_resume(fixed if resume else {})
    from mocosearch.home import path_of
    from mocosearch.photos.scan import roots_of

    # Raises FileNotFoundError where the current folder was removed: there, MKL ends the process.
    os.getcwd()
    # A wrong name is reported before torch is imported, which takes seconds.
    photos, folder = roots_of(photos), path_of("encoders", name)
    _check_tensorboard(tensorboard, photos)
    settings: dict[str, Any] = {"recipe": recipe, "architecture": arch, "size": size, "init": init}
    settings |= {"batch": batch, "bursts": bursts, "epochs": epochs, "seconds": seconds}
    settings |= {"teacher": [_open_teacher(each) for each in teacher or []], "device": device}
    settings |= {"answers": _answers(index) if from_answers else None, "cache_bytes": cache_bytes}
    settings |= {"tensorboard": tensorboard, "watch_knn": watch_knn, "resume": resume, "seed": seed}
    from mocosearch.training.processes.group import process_group
    from mocosearch.training.run import train as learn

    with progress() as bar, _stoppable() as stopped, process_group(device):
        result = learn(photos, folder, report=_reporter(bar), stopped=stopped, **settings)
    _show(result, json)


def _follow(device: str) -> bool:
    """Take part in the training that rank 0 leads; false in rank 0 and in a single process."""
    from mocosearch.training.processes import launch

    if launch.rank() == 0:
        return False
    from mocosearch.errors import ProcessLost
    from mocosearch.training.loop import follow
    from mocosearch.training.processes.group import process_group

    try:
        with process_group(device):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            follow(device)
    except ProcessLost as error:
        raise typer.Exit(1) from error
    return True


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """A function that tells whether to stop: after Ctrl-C, and after torchrun's SIGTERM."""
    from mocosearch.training.processes.launch import by_torchrun

    if not by_torchrun():
        with interruptible() as stopped:
            yield stopped
        return
    both = (signal.SIGINT, signal.SIGTERM)
    with stop_event(*both, notice="stopping after this step") as stop:
        yield stop.is_set


def _check_resume(options: dict[str, object]) -> None:
    """Raises typer.BadParameter for options that a resumed run ignores."""
    if given := [option for option, value in options.items() if value]:
        raise typer.BadParameter(f"--resume keeps the run's settings; omit {', '.join(given)}")


def _check_tensorboard(folder: str | None, photos: list[str]) -> None:
    """Raises typer.BadParameter if TensorBoard is not installed, and what `check` raises."""
    if folder is None:
        return
    from mocosearch.errors import MissingPackage
    from mocosearch.training.figures.tensorboard import check

    try:
        check(folder, photos)
    except MissingPackage as error:
        raise typer.BadParameter(f"{error.what}; {error.hint}") from error


def _open_teacher(name: str) -> "Encoder":
    """An encoder, or else the encoder of the index with this name."""
    from indexes import Index
    from mocosearch.encoder import Encoder
    from mocosearch.errors import NotFound

    try:
        return Encoder.open(name)
    except NotFound:
        if not Index.exists(name):
            raise
        with Index.open(name) as index:
            return index.encoder


def _answers(name: str) -> "Answers":
    """The answers about the photos of an index. Raises Unsuitable where there are none."""
    from indexes import Index
    from indexes.looks.answers import answers_of
    from mocosearch.errors import Unsuitable

    with Index.open(name) as index:
        looks, different = answers_of(index.snapshot)
    if not any(yes and no for yes, no in looks) and not different:
        raise Unsuitable(
            "there are no answers about the photos of this index",
            "give some with mocosearch look teach NAME or duplicates --ignore GROUP",
        )
    from mocosearch.training.answers import Answers

    return Answers(looks, different)


def _reporter(bar: Bar) -> "Callable[[Progress], None]":
    def report(at: "Progress") -> None:
        if at.message:
            say(at.message)
            return
        counted = at.stage in ("photos", "sample", "answers", "teacher")
        text = f"{at.done:.0f} of {at.total:.0f}" if counted else ""
        if at.loss is not None:
            text = f"loss {at.loss:.2f} (chance {at.chance_loss:.2f})"
            text += f", {at.images_per_second:.0f} photos/s"
        if at.view_recall is not None:
            text += f", view recall {at.view_recall:.0%}"
        bar(at.stage, at.done / max(at.total, 1e-9), text)

    return report


def _show(result: "TrainingResult", json: bool) -> None:
    warn_skipped(result.skipped)
    for folder in result.unreadable:
        warn(f"cannot read the folder {folder}: its photos were not used")
    for line in result.warnings:
        warn(f"warning: {line}")
    if result.previous:
        warn("the previous encoder is unchanged; --resume continues the run")
    else:
        say(_summary(result.card))
    say(f"encoder: {result.folder}")
    if json:
        skipped = len(result.skipped)
        card = asdict(result.card)
        show_json({"encoder": str(result.folder), "card": card, "skipped": skipped})
    from mocosearch.training.processes.launch import by_torchrun

    # torchrun takes every other code than 0 for a failure, and may start the run again.
    skipped = 0 if by_torchrun() else len(result.skipped) + len(result.unreadable)
    finish(result.interrupted, skipped)


def _summary(card: "Card") -> str:
    if card.epochs == 0:
        whitening = f"its whitening is fitted on {card.photos} photos"
        return f"exported the starting network without training; {whitening}"
    return f"trained on {card.photos} photos in {card.seconds:.0f} s, {card.epochs:.1f} epochs"
