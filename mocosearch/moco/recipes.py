"""Settings of a training run; every default with its source."""

from dataclasses import dataclass, field, replace
from typing import Any

from mocosearch.errors import Unsuitable
from mocosearch.moco.views import ViewSettings


@dataclass(frozen=True)
class Recipe:
    """All that decides a run besides the photos, the time and the seed."""

    name: str
    architecture: str
    size: int
    """Side of a training view in pixels."""
    cache_side: int
    """Side of the stored photos that views are cut from."""
    encode_side: int
    """Side at which the finished encoder looks at photos."""
    K: int
    m: float
    m_end: float
    """Momentum at the start and at the end, on a cosine."""
    T: float
    dim: int
    levels: bool
    """Whether the head sees stages 2 to 4, or the last one alone as in the papers."""
    mlp: bool
    symmetric: bool
    splits: int
    batch: int
    optimizer: str
    """sgd or muon."""
    lr: float
    """Learning rate at the given batch; smaller batches get less, in proportion."""
    weight_decay: float
    warmup: float
    """Share of the run in which the rate rises from 0."""
    cosine: bool
    """Down on half a cosine; otherwise by 10 at 60% and 80% of the run."""
    epochs: int
    views: ViewSettings = field(default_factory=ViewSettings)
    dimension: int = 256
    """Length of the finished keys."""
    bursts: str = "masked"
    """Photos of one burst are `masked` from each other's negatives, or `positive` as well."""

    def with_changes(
        self,
        architecture: str | None,
        size: int | None,
        batch: int | None,
        bursts: str | None = None,
    ) -> "Recipe":
        """Another network, view size (stored and encoded photos in proportion), batch (rate in
        proportion) or use of bursts. Raises Unsuitable for an unknown use.
        """
        changed = self
        if bursts:
            if bursts not in ("masked", "positive"):
                raise Unsuitable(f"bursts cannot be {bursts}", "there are: masked, positive")
            changed = replace(changed, bursts=bursts)
        if architecture:
            changed = replace(changed, architecture=architecture)
        if size:
            grown = size / self.size
            changed = replace(
                changed,
                size=size,
                cache_side=round(self.cache_side * grown),
                encode_side=round(self.encode_side * grown),
            )
        if batch:
            changed = replace(changed, batch=batch, lr=self.lr * batch / self.batch)
        return changed

    @classmethod
    def from_plain(cls, told: dict[str, Any]) -> "Recipe":
        """The inverse of dataclasses.asdict."""
        return cls(**{**told, "views": ViewSettings(**told["views"])})


V1 = Recipe(
    # arXiv:1911.05722, section 3.3 and appendix A; K and m as in section 4.1.
    name="v1",
    architecture="resnet50",
    size=224,
    cache_side=256,
    encode_side=224,
    K=65536,
    m=0.999,
    m_end=0.999,
    T=0.07,
    dim=128,
    levels=False,
    mlp=False,
    symmetric=False,
    splits=8,
    batch=256,
    optimizer="sgd",
    lr=0.03,
    weight_decay=1e-4,
    warmup=0.0,
    cosine=False,
    epochs=200,
    views=ViewSettings(jitter=1.0, blur=0.0, hue=0.4),
)

V2 = replace(
    # arXiv:2003.04297, section 3: MLP head, more augmentation, cosine, T .2.
    V1,
    name="v2",
    mlp=True,
    cosine=True,
    T=0.2,
    views=ViewSettings(),
)

SMALL = Recipe(
    # Ours, for a few thousand photos and minutes of a processor; measured in
    # benchmarks/recipes.md. A symmetric loss, a short queue, a fast key encoder, a head that
    # sees every stage and above all Muon learn more from few steps; T and splits are those of
    # the authors' CIFAR demo.
    name="small",
    architecture="resnet10",
    size=64,
    cache_side=96,
    encode_side=160,
    K=2048,
    m=0.99,
    m_end=1.0,
    T=0.1,
    dim=128,
    levels=True,
    mlp=True,
    symmetric=True,
    splits=2,
    batch=128,
    optimizer="muon",
    lr=0.012,
    weight_decay=0.0,
    warmup=0.05,
    cosine=True,
    epochs=200,
)

RECIPES = {r.name: r for r in (V1, V2, SMALL)}


def choose(name: str, files: int) -> tuple[Recipe, str]:
    """The recipe for a name, and the reason where the name is `auto`.

    Raises Unsuitable for an unknown name.
    """
    if name == "auto":
        if files < 200_000:
            return SMALL, f"{files} files are too few for the papers' settings"
        return V2, f"{files} files are enough for the paper's settings"
    if name not in RECIPES:
        raise Unsuitable(
            f"no recipe is called {name}", f"there are: auto, {', '.join(sorted(RECIPES))}"
        )
    return RECIPES[name], "as asked for"


def fitted(recipe: Recipe, photos: int) -> Recipe:
    """The recipe with batch, queue and sub-batches cut down to a small collection.

    A queue should stay smaller than the collection, or most negatives are stale keys of the
    same photos; a batch no larger than it.
    """
    batch = max(2, min(recipe.batch, photos))
    splits = max(1, min(recipe.splits, batch // 2))
    K = max(batch, min(recipe.K, photos // 2))
    return replace(recipe, batch=batch, splits=splits, K=K, lr=recipe.lr * batch / recipe.batch)
