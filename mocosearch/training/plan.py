"""What a run will do: decided before a photo is read, or restored from a checkpoint."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from mocosearch.encoder.card import OWN_CORPUS, Card
from mocosearch.encoder.runtime import CARD, Encoder
from mocosearch.encoder.whitening import Whitening
from mocosearch.errors import Mismatch
from mocosearch.home import STARTER, path_of
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.lite import SCALES
from mocosearch.pretrained.importers import Start, start_from
from mocosearch.training.answers import Answers
from mocosearch.training.recipes import SMALL, SMALL_LITE, Recipe, choose
from mocosearch.training.teacher import recipe_with_teacher, teacher_name

STARTER_FROZEN_STAGES = 1
"""The starter's stem and first stage are general features: with these frozen, the rest learns as
much per photo and sees 7 to 17% more photos (benchmarks/recipes.md)."""
_PLAIN_FIELDS = ("parent", "licence", "corpus", "epochs", "seconds", "seed", "teacher")


@dataclass(frozen=True)
class Plan:
    """Settings, length and starting network of a run."""

    recipe: Recipe
    reason: str
    """Why the recipe was chosen."""
    start: Backbone
    parent: str | None
    licence: str
    corpus: str | None
    """What the starting network was trained on; None for random weights."""
    whitening: Whitening | None
    """The starting encoder's whitening."""
    epochs: int | None
    seconds: float | None
    seed: int
    answers: Answers | None = None
    """A person's answers about the photos."""
    teacher: str | None = None
    """Architecture, origin and licence of each teacher; None for MoCo."""

    def state(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint; `restore_plan` is the inverse."""
        return {
            **{key: getattr(self, key) for key in _PLAIN_FIELDS},
            "recipe": asdict(self.recipe),
            "answers": self.answers and asdict(self.answers),
            "whitening": self.whitening
            and {name: torch.from_numpy(values) for name, values in vars(self.whitening).items()},
            "start": {name: value.clone() for name, value in self.start.state_dict().items()},
        }

    def corpus_after(self, learned: bool) -> str:
        """The exported encoder's corpus: that of the starting network, then the own photos.

        learned: whether the weights were trained on the photos, or only the whitening fitted.
        """
        last = OWN_CORPUS if learned else f"{OWN_CORPUS}, for the whitening alone"
        if self.corpus is None:
            return last
        if self.corpus.endswith((OWN_CORPUS, last)):
            return self.corpus
        return f"{self.corpus}; then {last}"


@dataclass(frozen=True)
class Options:
    """What `train` lets its caller choose; None for the recipe's or the start's own value."""

    init: str | None = None
    architecture: str | None = None
    size: int | None = None
    batch: int | None = None
    bursts: str | None = None
    epochs: int | None = None
    seconds: float | None = None
    seed: int = 0
    teachers: Sequence[Encoder] = ()
    answers: Answers | None = None


def make_plan(
    recipe: str | Recipe, files: int, options: Options, cache_limit: int | None = None
) -> Plan:
    """The plan of a new run; files and cache_limit as in `choose`.

    Without `init`, `small` starts from the starter if the architectures agree; the papers'
    recipes, whose settings are for random weights, start from those. With `small`, the starter's
    first stage is frozen. A teacher's recipe starts as `small` does, with nothing frozen.

    Raises what `start_from`, `choose` and `Recipe.with_changes` raise, Mismatch for an
    architecture that `init` does not have, and Unsuitable for a recipe without a teacher.
    """
    if options.teachers:
        recipe, options = recipe_with_teacher(recipe, options.epochs), _start_as_small(options)
    plan = _start_plan(recipe, files, options, cache_limit)
    changed = plan.recipe.with_changes(
        options.architecture, options.size, options.batch, options.bursts
    )
    # A whitening belongs to the side that it was fitted at.
    white = plan.whitening if changed.encode_side == plan.recipe.encode_side else None
    plan = replace(plan, recipe=changed, whitening=white, answers=options.answers)
    if not options.teachers:
        return plan
    names = [teacher_name(teacher) for teacher in options.teachers]
    licences = [teacher.card.licence for teacher in options.teachers]
    origins = [f"{name}, licence: {own}" for name, own in zip(names, licences, strict=True)]
    reason = " and ".join((f"the teacher is {names[0]}", *names[1:]))
    return replace(plan, reason=reason, teacher="; ".join(origins))


def _start_as_small(options: Options) -> Options:
    """With the starter as the start, if there is one of the architecture and no other is named."""
    starter = options.init is None and _starter(options.architecture) is not None
    return replace(options, init="starter") if starter else options


def _start_plan(
    recipe: str | Recipe, files: int, options: Options, cache_limit: int | None
) -> Plan:
    """The plan with the recipe as the starting network needs it."""
    init, seconds = options.init, options.seconds
    start = None if init in (None, "none") else start_from(str(init))
    architecture = _agreed_architecture(start, options.architecture)
    chosen, reason = (
        choose(recipe, files, seconds, architecture, cache_limit)
        if isinstance(recipe, str)
        else (recipe, "given")
    )
    small = chosen == SMALL and isinstance(recipe, str)
    if init is None and small:
        start = _starter(architecture)
    torch.manual_seed(options.seed)
    length = (options.epochs, seconds, options.seed)
    if start is None:
        chosen = replace(chosen, frozen=0)
        fresh = Backbone(
            architecture or chosen.architecture, zero_init_residual=chosen.zero_init_residual
        )
        return Plan(chosen, reason, fresh, None, Card.licence, None, None, *length)
    if small and start.backbone.architecture in SCALES:
        chosen = SMALL_LITE
    chosen = chosen.at_side(start.side, start.backbone.architecture)
    if small and (init is None or path_of("encoders", init) == STARTER):
        chosen = replace(chosen, frozen=STARTER_FROZEN_STAGES)
    origin = (start.origin, start.licence, start.corpus, start.whitening)
    return Plan(chosen, reason, start.backbone, *origin, *length)


def restore_plan(state: dict[str, Any]) -> Plan:
    """The plan of a stopped run from its checkpoint. Raises Mismatch for a checkpoint of an older
    version, which lacks the starting network.
    """
    if not resumable(state):
        raise Mismatch("the run was started by an older mocosearch", "start a new run")
    recipe = Recipe.from_dict(state["recipe"])
    torch.manual_seed(state["seed"])
    start = Backbone(recipe.architecture)
    start.load_state_dict(state["start"])
    plain: dict[str, Any] = {key: state.get(key) for key in _PLAIN_FIELDS}
    tensors = state.get("whitening")
    white = tensors and Whitening(**{name: values.numpy() for name, values in tensors.items()})
    answers = state.get("answers") and Answers(**state["answers"])
    return Plan(recipe, "from the checkpoint", start, whitening=white, answers=answers, **plain)


def resumable(state: dict[str, Any]) -> bool:
    """Whether a checkpoint holds all that `restore_plan` needs."""
    return "start" in state


def _starter(architecture: str | None) -> Start | None:
    if not (STARTER / CARD).is_file():
        return None
    start = start_from("starter")
    return start if architecture in (None, start.backbone.architecture) else None


def _agreed_architecture(start: Start | None, requested: str | None) -> str | None:
    """The starting network's architecture, else the requested one. Raises Mismatch if they
    differ.
    """
    if start is None:
        return requested
    actual = start.backbone.architecture
    if requested not in (None, actual):
        raise Mismatch(f"{start.origin} is a {actual}, not a {requested}", "omit --arch")
    return actual
