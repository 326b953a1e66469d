"""mocosearch train: learn an encoder from photos."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import Json
from cli.display import duration, ended, interruptible, progress, say, show_json, warn, warn_skipped
from cli.display import size as size_of

if TYPE_CHECKING:
    from mocosearch.encoder import Card, Encoder
    from mocosearch.training.loop import Progress


def train(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTOS...", help="Folders of photos, any depth.")
    ],
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name or path of the encoder to make.")
    ] = "default",
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="auto, small (ours), v1, v2 or v3 (the papers' settings)."
        ),
    ] = "auto",
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="resnet10, resnet18, resnet34, resnet50, vit_small or vit_base."
        ),
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="N", min=32, max=512, help="Pixels of a view.")
    ] = None,
    batch: Annotated[int | None, typer.Option(metavar="N", min=2, help="Photos a step.")] = None,
    bursts: Annotated[
        str | None,
        typer.Option(
            metavar="USE", help="Photos of one burst: masked from each other, or positive as well."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Passes over the photos; 0 exports the network that it starts from "
            "[default: 200; 100 for v3, 300 for its ViTs].",
        ),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Time for everything: 90s, 20m, 1h30m."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Start from an encoder, a file of published weights, or none "
            "[default: starter; none for the papers' recipes and other networks].",
        ),
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Learn from an encoder, or from that of an index."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Where to learn: auto, cpu, cuda or mps; auto takes what is there."
        ),
    ] = "auto",
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**63 - 1, help="Makes a run repeatable.")
    ] = 0,
    cache_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Most that decoded photos may take on the disk.")
    ] = "8G",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a run that was stopped or killed, as it began."),
    ] = False,
    json: Json = False,
) -> None:
    """Learn an encoder from the photos themselves; no labels, no folders by class.

    Ctrl-C keeps what is learned so far as a usable encoder, unless there is an earlier one,
    which is kept; --resume goes on from there.

    Example: mocosearch train ~/Pictures --for 20m
    """
    seconds, cache_bytes = None if time is None else duration(time), size_of(cache_size)
    if seconds is not None and epochs is not None:
        raise typer.BadParameter("--for and --epochs exclude each other")
    settled = {
        **{"--recipe": recipe != "auto", "--arch": arch, "--size": size, "--batch": batch},
        **{"--bursts": bursts, "--epochs": epochs is not None, "--for": time, "--init": init},
        **{"--seed": seed, "--teacher": teacher},
    }
    if resume and (given := [option for option, value in settled.items() if value]):
        raise typer.BadParameter(f"--resume goes on as the run began, without {', '.join(given)}")
    from mocosearch.home import place
    from mocosearch.photos.scan import roots_of

    # A mistyped folder is answered at once, before torch takes seconds to load.
    photos, folder = roots_of(photos), place("encoders", name)
    teaching = None if teacher is None else _teacher(teacher)
    from mocosearch.training.run import train as learn

    with progress() as bar, interruptible() as stopped:

        def report(at: "Progress") -> None:
            if at.words:
                say(at.words)
                return
            counted = at.stage in ("photos", "sample", "teacher")
            words = f"{at.done:.0f} of {at.total:.0f}" if counted else ""
            if at.loss is not None:
                words = f"loss {at.loss:.2f} of {at.loss_of_chance:.2f}"
                words += f", {at.images_per_second:.0f} photos/s"
            if at.found_again is not None:
                words += f", finds {at.found_again:.0%}"
            bar(at.stage, at.done / max(at.total, 1e-9), words)

        made = learn(
            photos,
            folder,
            recipe=recipe,
            architecture=arch,
            size=size,
            batch=batch,
            bursts=bursts,
            epochs=epochs,
            seconds=seconds,
            init=init,
            teacher=teaching,
            seed=seed,
            device=device,
            cache_bytes=cache_bytes,
            resume=resume,
            report=report,
            stopped=stopped,
        )
    warn_skipped(made.skipped)
    for unread in made.unreadable:
        warn(f"cannot look into {unread}: nothing was learned from there")
    for sign in made.warnings:
        warn(f"warning: {sign}")
    card = made.card
    if made.kept:
        warn("the earlier encoder is kept; --resume goes on")
    else:
        say(_learned(card))
    say(f"encoder: {folder}")
    if json:
        skipped = len(made.skipped)
        show_json({"encoder": str(folder), "card": asdict(card), "skipped": skipped})
    ended(made.interrupted, len(made.skipped) + len(made.unreadable))


def _teacher(name: str) -> "Encoder":
    """An encoder, or else the one that an index of this name holds."""
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


def _learned(card: "Card") -> str:
    if card.epochs == 0:
        fitted = f"its whitening fitted on {card.photos} photos"
        return f"the network is the start as it was, {fitted}; {card.seconds:.0f} s in all"
    spent = f"{card.photos} photos in {card.seconds:.0f} s"
    return f"learned from {spent}, {card.epochs:.1f} epochs"
