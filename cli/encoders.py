"""mocosearch encoders: those that are there, and published ones from files or the network."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import Json, common
from cli.display import one_line, progress, say, show, show_json, warn

if TYPE_CHECKING:
    from mocosearch.encoder import Card

encoders = typer.Typer(
    help="List encoders, and add published ones.",
    epilog="Example: mocosearch encoders list",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@encoders.command("list")
@common
def list_(
    json: Json = False,
) -> None:
    """List the starter and the encoders in the home, with what their cards say.

    Example: mocosearch encoders list
    """
    from mocosearch.encoder.card import Card
    from mocosearch.errors import Damaged
    from mocosearch.home import names, place

    cards: dict[str, Card] = {}
    for name in names("encoders"):
        try:
            cards[name] = Card.from_json((place("encoders", name) / "card.json").read_bytes())
        except (Damaged, FileNotFoundError):
            warn(f"{one_line(name)}: its card cannot be read; train it again")
    if json:
        show_json({"encoders": {name: asdict(card) for name, card in cards.items()}})
        return
    for name, card in cards.items():
        show(one_line(f"{name:24} {card.architecture:10} {card.side} px  {_past(card)}"))


def _past(card: "Card") -> str:
    learned = f"{card.photos} photos, {card.epochs:.1f} epochs" if card.photos else "imported"
    return f"{learned}, from {card.parent}" if card.parent else learned


@encoders.command("add")
@common
def add(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME", help="A file of weights, or the name of a published one."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name or path of the encoder to make.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(metavar="URL", help="Fetch from this host, not the authors'.")
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=32,
            max=512,
            help="Pixels of the square that it sees [default: 224; 160 for efficientnet-lite0].",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make an encoder of a published network: a file, or one fetched by its name.

    efficientnet-lite0 comes from a package: pip install 'mocosearch[lite0]'.

    Names: moco-v1-200ep, moco-v2-200ep, moco-v2-800ep, moco-v3-resnet50-100ep, -300ep and
    -1000ep, moco-v3-vit-small-300ep, moco-v3-vit-base-300ep.

    Example: mocosearch encoders add moco-v2-800ep
    """
    from mocosearch.errors import Damaged, NotFound, Unsuitable
    from mocosearch.home import place
    from mocosearch.pretrained import lite0
    from mocosearch.pretrained.published import PUBLISHED

    packaged = what == lite0.NAME
    known = what in PUBLISHED
    if mirror and not known:
        raise typer.BadParameter("--mirror goes with the name of a published encoder")
    if not known and not packaged and not Path(what).is_file():
        names = ", ".join((*PUBLISHED, lite0.NAME))
        raise NotFound(f"no file and no published encoder {what}", f"names: {names}")
    folder = place("encoders", name or (what if known else Path(what).name.split(".")[0]))
    if folder.exists():
        raise Unsuitable(f"there is an encoder at {folder}", "choose another --name")
    file = lite0.weights_file() if packaged else Path(what)
    if known:
        file = _fetched(what, mirror)
    from mocosearch.pretrained.adopt import adopt

    try:
        card = adopt(file, folder, PUBLISHED[what].architecture if known else None, side)
    except Damaged:
        if known:
            file.unlink()
        raise
    if known:
        file.unlink()
    say(f"{card.architecture} from {card.parent}; {card.recipe['keys']}")
    say(f"encoder: {folder}")
    if json:
        show_json({"encoder": str(folder), "card": asdict(card)})


def _fetched(name: str, mirror: str | None) -> Path:
    """Say what it is before any of it comes."""
    from mocosearch.home import home
    from mocosearch.pretrained.published import PUBLISHED, fetch, offered

    offer = offered(name, mirror)
    say(f"{offer.url}: {offer.size / 1e6:.1f} MB; licence: {PUBLISHED[name].licence}")
    with progress() as bar:
        return fetch(
            offer,
            home() / "cache" / "published",
            lambda done: bar("download", done / offer.size, f"{done / 1e6:.0f} MB"),
        )
