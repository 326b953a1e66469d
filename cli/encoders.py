"""mocosearch encoders: list encoders, and add published networks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli.common import Json, common
from cli.display import one_line, progress, say, show, show_json, warn

if TYPE_CHECKING:
    from mocosearch.encoder import Card
    from mocosearch.pretrained.onnx import Preprocessing

encoders = typer.Typer(
    help="List encoders, and add published networks.",
    epilog="Example: mocosearch encoders list",
    no_args_is_help=True,
    rich_markup_mode=None,
)


What = Annotated[
    str,
    typer.Argument(
        metavar="FILE|NAME", help="A file of published weights, an ONNX file, or a name below."
    ),
]
Name = Annotated[str | None, typer.Option(metavar="NAME", help="Name or path of the new encoder.")]
Mirror = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Download from this address instead of the authors' host."),
]
Side = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=32,
        max=512,
        help="Side in pixels of the square that photos are resized to "
        "[default: an ONNX file's own, or 224; efficientnet-lite0: 160, -lite2: 260].",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="ONNX: the output to use, where there are several, or a tensor inside the graph. "
        "A map is averaged. Of tokens, the class token (the first) is taken, or the mean if there "
        "is none, that is if their number is a square.",
    ),
]
Preset = Annotated[
    Literal["imagenet", "clip", "dinov2"] | None,
    typer.Option(
        metavar="NAME",
        help="ONNX: the usual --mean and --std of imagenet, clip or dinov2 [default: imagenet].",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help="ONNX: the mean that the network expects to be subtracted from red, green and blue "
        "in 0..1; one number or three.",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help="ONNX: what the result is divided by."),
]
Layout = Annotated[
    Literal["nchw", "nhwc"] | None,
    typer.Option(
        metavar="NAME",
        help="ONNX: the order of the axes, nchw or nhwc [default: by the input's shape].",
    ),
]


@encoders.command("list")
@common
def list_(
    json: Json = False,
) -> None:
    """List the starter and the encoders in the home.

    Example: mocosearch encoders list
    """
    from mocosearch.encoder.card import Card
    from mocosearch.encoder.recover import recover_all
    from mocosearch.errors import Damaged
    from mocosearch.home import home, names, path_of

    recover_all(home() / "encoders")
    cards: dict[str, Card] = {}
    for name in names("encoders"):
        try:
            cards[name] = Card.from_json((path_of("encoders", name) / "card.json").read_bytes())
        except (Damaged, FileNotFoundError):
            warn(f"{one_line(name)}: its card cannot be read; train it again")
    if json:
        show_json({"encoders": {name: asdict(card) for name, card in cards.items()}})
        return
    for name, card in cards.items():
        show(one_line(f"{name:24} {card.architecture:10} {card.side} px  {_origin(card)}"))


def _origin(card: "Card") -> str:
    training = f"{card.photos} photos, {card.epochs:.1f} epochs" if card.photos else "imported"
    return f"{training}, from {card.parent}" if card.parent else training


@encoders.command("add")
@common
def add(
    what: What,
    name: Name = None,
    mirror: Mirror = None,
    side: Side = None,
    output: Output = None,
    preset: Preset = None,
    mean: Mean = None,
    std: Std = None,
    layout: Layout = None,
    json: Json = False,
) -> None:
    """Make an encoder from a published network: a file, or one downloaded by name.

    A file whose name ends in .onnx may hold any network that takes one image; it needs no PyTorch.

    efficientnet-lite0 and -lite2 come from packages: pip install 'mocosearch[lite0,lite2]'.

    Names: moco-v1-200ep, moco-v2-200ep, moco-v2-800ep, moco-v3-resnet50-100ep, -300ep and
    -1000ep, moco-v3-vit-small-300ep, moco-v3-vit-base-300ep.

    Example: mocosearch encoders add moco-v2-800ep
    """
    from mocosearch.encoder.recover import recover
    from mocosearch.errors import Unsuitable
    from mocosearch.home import path_of
    from mocosearch.pretrained.onnx import adopt_onnx, is_onnx
    from mocosearch.pretrained.onnx_file import Choice
    from mocosearch.pretrained.published import PUBLISHED
    from mocosearch.requirements import require_torch

    onnx = is_onnx(Path(what))
    if mirror and what not in PUBLISHED:
        raise typer.BadParameter("--mirror needs the name of a published network")
    if not onnx:
        _check_omitted(output=output, preset=preset, mean=mean, std=std, layout=layout)
        require_torch()
    file = None if what in PUBLISHED else _local_file(what)
    folder = path_of("encoders", name or Path(what).name.split(".")[0])
    recover(folder)
    if folder.exists():
        raise Unsuitable(f"{folder} exists already", "choose another --name")
    if onnx:
        preprocessing = _preprocessing(preset, mean, std)
        card = adopt_onnx(Path(what), folder, preprocessing, Choice(output, side, layout))
    else:
        card = _adopt(file or _download(what, mirror), folder, what, side)
    say(f"{card.architecture} from {card.parent}; {card.recipe['keys']}")
    say(f"encoder: {folder}")
    if json:
        show_json({"encoder": str(folder), "card": asdict(card)})


def _check_omitted(**options: str | None) -> None:
    """Raises typer.BadParameter for options that other files than ONNX have no use for."""
    if names := [f"--{option}" for option, value in options.items() if value is not None]:
        raise typer.BadParameter(f"only an ONNX file takes {', '.join(names)}")


def _preprocessing(preset: str | None, mean: str | None, std: str | None) -> "Preprocessing":
    """The preset, with another mean or standard deviation where one is given."""
    from mocosearch.pretrained.onnx import PRESETS, Preprocessing

    usual = PRESETS[preset or "imagenet"]
    return Preprocessing(
        usual.mean if mean is None else _colour("--mean", mean),
        usual.std if std is None else _colour("--std", std),
    )


def _colour(option: str, text: str) -> tuple[float, float, float]:
    """Three numbers in a text, or one for all. Raises typer.BadParameter."""
    try:
        numbers = [float(number) for number in text.split(",")]
        red, green, blue = numbers * 3 if len(numbers) == 1 else numbers
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r}: give one number or three") from error
    return red, green, blue


def _adopt(file: Path, folder: Path, what: str, side: int | None) -> "Card":
    """An encoder from a file of weights; a downloaded one is then deleted."""
    from mocosearch.errors import Damaged
    from mocosearch.pretrained.adopt import adopt
    from mocosearch.pretrained.published import PUBLISHED

    published = PUBLISHED.get(what)
    try:
        card = adopt(file, folder, published.architecture if published else None, side)
    except Damaged:
        if published:
            file.unlink()
        raise
    if published:
        file.unlink()
    return card


def _local_file(what: str) -> Path:
    """A file of weights, or that of an installed package."""
    from mocosearch.errors import NotFound
    from mocosearch.pretrained.lite import PACKAGED, weights_file
    from mocosearch.pretrained.published import PUBLISHED

    if what in PACKAGED:
        return weights_file(what)
    if not Path(what).is_file():
        names = ", ".join((*PUBLISHED, *PACKAGED))
        raise NotFound(f"{what} is neither a file nor a published network", f"names: {names}")
    return Path(what)


def _download(name: str, mirror: str | None) -> Path:
    """Print size and licence, then download."""
    from mocosearch.home import home
    from mocosearch.pretrained.published import PUBLISHED, fetch, request_offer

    offer = request_offer(name, mirror)
    say(f"{offer.url}: {offer.size / 1e6:.1f} MB; licence: {PUBLISHED[name].licence}")
    with progress() as bar:
        return fetch(
            offer,
            home() / "cache" / "published",
            lambda size: bar("download", size / offer.size, f"{size / 1e6:.0f} MB"),
        )
