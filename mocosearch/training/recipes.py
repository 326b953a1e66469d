"""Settings of a training run; every default with its source."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from mocosearch.errors import Unsuitable
from mocosearch.moco.views import ViewSettings
from mocosearch.moco.vit import PATCH, WIDTHS, check_side

WHITENED_ON = 4000
"""Photos that the whitening is fitted on; more than that moves no figure."""


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
    """Keys in the queue; 0 is MoCo v3, which has none."""
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
    optimizer: Literal["sgd", "muon", "lars", "adamw"]
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
    other_views: ViewSettings | None = None
    """The second view's settings where they differ from the first's."""
    zero_init_residual: bool = False
    T_teacher: float = 0.0
    """Temperature of a teacher's similarities; 0 is MoCo, which has no teacher."""
    frozen: int = 0
    """Stages of a ResNet, the first with the stem, that stay as the start has them."""

    def with_changes(
        self,
        architecture: str | None,
        size: int | None,
        batch: int | None,
        bursts: str | None = None,
    ) -> "Recipe":
        """Another network, view size (stored and encoded photos in proportion), batch (rate in
        proportion) or use of bursts. Raises Unsuitable for an unknown use of bursts, and for a
        size that the network cannot read.
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
        if changed.architecture in WIDTHS:
            check_side(changed.size)
            whole = round(changed.encode_side / PATCH) * PATCH
            changed = replace(changed, encode_side=whole)
        if batch:
            changed = replace(changed, batch=batch, lr=self.lr * batch / self.batch)
        return changed

    def seen_at(self, side: int, architecture: str) -> "Recipe":
        """For a network that has learned to look at photos of `side` pixels: views, stored and
        encoded photos in proportion.
        """
        grown = side / self.encode_side
        size = round(self.size * grown)
        if architecture in WIDTHS:
            size = max(PATCH, round(size / PATCH) * PATCH)
        stored = round(self.cache_side * grown)
        return replace(
            self, architecture=architecture, size=size, cache_side=stored, encode_side=side
        )

    def stored(self, photos: int) -> int:
        """Bytes that so many photos take on the disk: all for the views, some for the whitening."""
        whitened = min(photos, WHITENED_ON)
        return 3 * (photos * self.cache_side**2 + whitened * self.encode_side**2)

    @classmethod
    def from_plain(cls, told: dict[str, Any]) -> "Recipe":
        """The inverse of dataclasses.asdict; what only an older version knew is passed over."""
        other = told["other_views"] and ViewSettings(**told["other_views"])
        told = {**told, "views": ViewSettings(**told["views"]), "other_views": other}
        known = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in told.items() if name in known})


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

V3 = Recipe(
    # arXiv:2104.02057 for ResNet-50 at 100 epochs: section 4.1 and the authors' reference
    # set-up where the paper leaves it open (smallest crop, weight decay, momentum). Views are
    # BYOL's (arXiv:2006.07733, appendix B): the second one is seldom blurred, and solarized.
    name="v3",
    architecture="resnet50",
    size=224,
    cache_side=256,
    encode_side=224,
    K=0,
    m=0.99,
    m_end=1.0,
    T=1.0,
    dim=256,
    levels=False,
    mlp=True,
    symmetric=True,
    splits=1,
    batch=4096,
    lr=0.6 * 4096 / 256,
    weight_decay=1e-6,
    warmup=10 / 100,
    cosine=True,
    epochs=100,
    views=ViewSettings(saturation=0.2, blur=1.0),
    other_views=ViewSettings(saturation=0.2, blur=0.1, solarize=0.2),
    optimizer="lars",
    zero_init_residual=True,
)

V3_VIT = replace(
    # The same for ViT-S/16 and ViT-B/16: sections 4.1 to 4.3; AdamW, T .2, 40 of 300 epochs
    # of warm-up, smaller crops (the authors' default).
    V3,
    architecture="vit_small",
    T=0.2,
    lr=1.5e-4 * 4096 / 256,
    weight_decay=0.1,
    warmup=40 / 300,
    epochs=300,
    views=replace(V3.views, scale=(0.08, 1.0)),
    other_views=replace(V3.views, scale=(0.08, 1.0), blur=0.1, solarize=0.2),
    optimizer="adamw",
    zero_init_residual=False,
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
    m=0.97,
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

SEED = replace(
    # Ours, with a teacher: the loss of arXiv:2101.04731 over the network and views of `small`.
    # One view a photo and no key encoder: four times the photos a second.
    SMALL,
    name="seed",
    size=48,
    cache_side=72,
    K=16384,
    T=0.07,
    T_teacher=0.05,
    dim=256,
    symmetric=False,
    splits=1,
    optimizer="adamw",
    lr=2e-3,
    weight_decay=0.02,
)

RECIPES = {r.name: r for r in (V1, V2, V3, SMALL)}

ENOUGH_FILES = 200_000
"""Three times v2's queue: with fewer, most negatives are stale keys of few photos."""
PASSES, RATE = 10, 15
"""Fewer passes than this are no run of v2's; photos a second of a ResNet-50 at 224 pixels on
two processor cores, in bf16."""


def choose(
    name: str,
    files: int,
    seconds: float | None = None,
    architecture: str | None = None,
    room: int | None = None,
) -> tuple[Recipe, str]:
    """The recipe for a name, and the reason where the name is `auto`.

    files: how many there are to learn from, by their names.
    seconds: the time there is for it, None without a limit.
    room: bytes that the decoded photos may take, None without a limit.
    architecture: the network asked for, where one was; a ViT has settings of its own in v3.

    Raises Unsuitable for an unknown name.
    """
    vit = architecture in WIDTHS
    if name == "auto" and vit:
        return V3_VIT, f"{architecture} learns by MoCo v3's settings"
    if name == "auto":
        return _by_size_and_time(files, seconds, room)
    if name == "v3" and vit:
        return V3_VIT, "as asked for"
    if name not in RECIPES:
        raise Unsuitable(
            f"no recipe is called {name}", f"there are: auto, {', '.join(sorted(RECIPES))}"
        )
    return RECIPES[name], "as asked for"


def _by_size_and_time(files: int, seconds: float | None, room: int | None) -> tuple[Recipe, str]:
    needed = files * PASSES / RATE
    if files < ENOUGH_FILES:
        return SMALL, f"{files} files named as pictures are too few for the papers' settings"
    if room is not None and V2.stored(files) > room:
        needs = f"{V2.stored(files) / 1e9:.0f} GB, --cache-size allows {room / 1e9:.1f}"
        return SMALL, f"{files} photos stored for the papers' settings take {needs}"
    if seconds is not None and seconds < needed:
        hours = f"{seconds / 3600:.1f} hours are too short for the papers' settings"
        return SMALL, f"{hours}, which need {needed / 3600:.0f} for {files} files"
    return V2, f"{files} files and the time are enough for the paper's settings"


def fitted(recipe: Recipe, photos: int) -> Recipe:
    """The recipe with batch, queue and sub-batches cut down to a small collection.

    A queue should stay smaller than the collection, or most negatives are stale keys of the
    same photos; a batch no larger than it.
    """
    batch = max(2, min(recipe.batch, photos))
    splits = max(1, min(recipe.splits, batch // 2))
    K = max(batch, min(recipe.K, photos // 2)) if recipe.K else 0
    return replace(recipe, batch=batch, splits=splits, K=K, lr=recipe.lr * batch / recipe.batch)
