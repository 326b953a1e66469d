"""mocosearch encoders: list encoders, and add published networks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import Json, common
from cli.display import one_line, progress, say, show, show_json, warn

if TYPE_CHECKING:
    from mocosearch.encoder import Card

encoders = typer.Typer(
    help="List encoders, and add published networks.",
    epilog="Example: mocosearch encoders list",
    no_args_is_help=True,
    rich_markup_mode=None,
)


Side = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=32,
        max=512,
        help="Side in pixels of the square that photos are resized to "
        "[default: 224; efficientnet-lite0: 160, -lite2: 260].",
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
    what: Annotated[
        str,
        typer.Argument(metavar="FILE|NAME", help="A file of published weights, or a name below."),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name or path of the new encoder.")
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Download from this address instead of the authors' host."
        ),
    ] = None,
    side: Side = None,
    json: Json = False,
) -> None:
    """Make an encoder from a published network: a file, or one downloaded by name.

    efficientnet-lite0 and -lite2 come from packages: pip install 'mocosearch[lite0,lite2]'.

    Names: moco-v1-200ep, moco-v2-200ep, moco-v2-800ep, moco-v3-resnet50-100ep, -300ep and
    -1000ep, moco-v3-vit-small-300ep, moco-v3-vit-base-300ep.

    Example: mocosearch encoders add moco-v2-800ep
    """
    from mocosearch.encoder.recover import recover
    from mocosearch.errors import Damaged, Unsuitable
    from mocosearch.home import path_of
    from mocosearch.pretrained.published import PUBLISHED
    from mocosearch.requirements import require_torch

    require_torch()
    published = what in PUBLISHED
    if mirror and not published:
        raise typer.BadParameter("--mirror needs the name of a published network")
    local = None if published else _local_file(what)
    folder = path_of("encoders", name or (what if published else Path(what).name.split(".")[0]))
    recover(folder)
    if folder.exists():
        raise Unsuitable(f"{folder} exists already", "choose another --name")
    file = local or _download(what, mirror)
    from mocosearch.pretrained.adopt import adopt

    try:
        card = adopt(file, folder, PUBLISHED[what].architecture if published else None, side)
    except Damaged:
        if published:
            file.unlink()
        raise
    if published:
        file.unlink()
    say(f"{card.architecture} from {card.parent}; {card.recipe['keys']}")
    say(f"encoder: {folder}")
    if json:
        show_json({"encoder": str(folder), "card": asdict(card)})


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
