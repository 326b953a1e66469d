"""What a run will do, decided before a photo is read or taken from where it stopped."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from mocosearch.encoder.card import OWN_CORPUS, Card
from mocosearch.encoder.runtime import CARD, Encoder
from mocosearch.encoder.whitening import Whitening
from mocosearch.errors import Mismatch
from mocosearch.home import STARTER, place
from mocosearch.moco.backbones import Backbone
from mocosearch.pretrained.importers import Start, start_from
from mocosearch.training.recipes import SMALL, Recipe, choose
from mocosearch.training.teacher import name_of, recipe_with_teacher

STARTERS_FROZEN = 1
"""What the starter's stem and first stage see is the same in all photos: held as they are, the rest
learns as much a photo and sees 7 to 17% more of them (benchmarks/recipes.md)."""
_PLAIN = ("parent", "licence", "corpus", "epochs", "seconds", "seed", "teacher")


@dataclass(frozen=True)
class Plan:
    """The settings of a run, its end, and the network that it starts from."""

    recipe: Recipe
    reason: str
    start: Backbone
    parent: str | None
    licence: str
    corpus: str | None
    """What the start was trained on; None is from nothing."""
    whitening: Whitening | None
    """The start's."""
    epochs: int | None
    seconds: float | None
    seed: int
    teacher: str | None = None
    """As the card names it."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain values alone; `as_begun` reads them back."""
        return {
            **{key: getattr(self, key) for key in _PLAIN},
            "recipe": asdict(self.recipe),
            "whitening": self.whitening
            and {name: torch.from_numpy(values) for name, values in vars(self.whitening).items()},
            "start": {name: value.clone() for name, value in self.start.state_dict().items()},
        }

    def trained_on(self, learned: bool) -> str:
        """The corpus of what comes out: the start's, then the own photos."""
        last = OWN_CORPUS if learned else f"{OWN_CORPUS}, for the whitening alone"
        if self.corpus is None:
            return last
        if self.corpus.endswith((OWN_CORPUS, last)):
            return self.corpus
        return f"{self.corpus}; then {last}"


def planned(
    recipe: str | Recipe,
    files: int,
    *,
    init: str | None,
    architecture: str | None,
    epochs: int | None,
    seconds: float | None,
    seed: int,
    room: int | None = None,
    teacher: Encoder | None = None,
) -> Plan:
    """A new run's plan; the arguments are those of `train`, files and room those of `choose`.

    Without `init` it starts from the starter where the recipe is `small` and the network is the
    starter's, for the papers' settings are made for a start from nothing. `small` holds the
    starter's first stage as it is.

    teacher: an encoder to learn from; then the recipe is `seed`, from the starter too.
    """
    if teacher is not None:
        plan = planned(
            recipe_with_teacher(recipe, epochs),
            files,
            init="starter" if init is None and _starter(architecture) else init,
            architecture=architecture,
            epochs=epochs,
            seconds=seconds,
            seed=seed,
            room=room,
        )
        name = name_of(teacher)
        named = f"{name}, licence: {teacher.card.licence}"
        return replace(plan, reason=f"taught by {name}", teacher=named)
    start = None if init in (None, "none") else start_from(str(init))
    network = _network(start, architecture)
    chosen, reason = (
        choose(recipe, files, seconds, network, room)
        if isinstance(recipe, str)
        else (recipe, "given")
    )
    small = chosen == SMALL and isinstance(recipe, str)
    if init is None and small:
        start = _starter(architecture)
    torch.manual_seed(seed)
    if start is None:
        fresh = Backbone(
            architecture or chosen.architecture, zero_init_residual=chosen.zero_init_residual
        )
        return Plan(chosen, reason, fresh, None, Card.licence, None, None, epochs, seconds, seed)
    chosen = chosen.seen_at(start.side, start.backbone.architecture)
    if small and (init is None or place("encoders", init) == STARTER):
        chosen = replace(chosen, frozen=STARTERS_FROZEN)
    told = (start.origin, start.licence, start.corpus, start.whitening)
    return Plan(chosen, reason, start.backbone, *told, epochs, seconds, seed)


def as_begun(past: dict[str, Any]) -> Plan:
    """The plan of a run that stopped, from its checkpoint. Raises Mismatch for one of an older
    version, which did not keep its start.
    """
    if not can_go_on(past):
        raise Mismatch("the run was begun by an older mocosearch", "train anew")
    recipe = Recipe.from_plain(past["recipe"])
    torch.manual_seed(past["seed"])
    start = Backbone(recipe.architecture)
    start.load_state_dict(past["start"])
    told: dict[str, Any] = {key: past.get(key) for key in _PLAIN}
    kept = past.get("whitening")
    white = kept and Whitening(**{name: values.numpy() for name, values in kept.items()})
    return Plan(recipe, "as begun", start, whitening=white, **told)


def can_go_on(past: dict[str, Any]) -> bool:
    """Whether a checkpoint holds all that `as_begun` needs."""
    return "start" in past


def _starter(architecture: str | None) -> Start | None:
    if not (STARTER / CARD).is_file():
        return None
    start = start_from("starter")
    return start if architecture in (None, start.backbone.architecture) else None


def _network(start: Start | None, asked: str | None) -> str | None:
    """The network to train: the start's, which the one asked for may not contradict."""
    if start is None:
        return asked
    found = start.backbone.architecture
    if asked not in (None, found):
        raise Mismatch(f"{start.origin} is a {found}, --arch says {asked}", "leave --arch away")
    return found
