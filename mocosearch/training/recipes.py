"""Settings of a training run; every default with its source."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from mocosearch.errors import Unsuitable
from mocosearch.moco.views import ViewSettings
from mocosearch.moco.vit import PATCH, WIDTHS, check_side

WHITENING_PHOTOS = 4000
"""Most photos that the whitening is fitted on; more change no measured figure."""


@dataclass(frozen=True)
class Recipe:
    """All settings of a run except the photos, the time and the seed."""

    name: str
    architecture: str
    size: int
    """Side of a training view in pixels."""
    cache_side: int
    """Side of the cached photos that views are cropped from, in pixels."""
    encode_side: int
    """Side of the photos that the exported encoder takes, in pixels."""
    K: int
    """Keys in the queue; 0 selects MoCo v3, which has no queue."""
    m: float
    m_end: float
    """Momentum at the start and at the end of the run, on a cosine between."""
    T: float
    dim: int
    levels: bool
    """Whether the head sees stages 2 to 4; the papers' recipes train the last stage alone."""
    mlp: bool
    symmetric: bool
    splits: int
    batch: int
    optimizer: Literal["sgd", "muon", "lars", "adamw"]
    lr: float
    """Learning rate at this batch size; other batch sizes scale it linearly."""
    weight_decay: float
    warmup: float
    """Fraction of the run in which the rate rises from 0."""
    cosine: bool
    """Half a cosine down to 0; otherwise divided by 10 at 60% and at 80% of the run."""
    epochs: int
    views: ViewSettings = field(default_factory=ViewSettings)
    dimension: int = 256
    """Dimension of the encoder's keys."""
    bursts: str = "masked"
    """Photos of one burst: `masked` from each other's negatives, or `positive` as well."""
    other_views: ViewSettings | None = None
    """Settings of the second view where they differ from the first's."""
    zero_init_residual: bool = False
    T_teacher: float = 0.0
    """Temperature of the teacher's similarities; 0 selects MoCo, which has no teacher."""
    learned_projection: bool = False
    """Whether the exported projection is learned from views and neighbours, or whitens alone."""
    frozen: int = 0
    """Number of ResNet stages, counted from the input with the stem, that are not trained."""

    def with_changes(
        self,
        architecture: str | None,
        size: int | None,
        batch: int | None,
        bursts: str | None = None,
    ) -> "Recipe":
        """A copy with another architecture, view size, batch size or use of bursts.

        The cached and the encoded sides scale with the view size, the learning rate with the
        batch size. Raises Unsuitable for an unknown use of bursts and for a size that the
        architecture cannot take.
        """
        recipe = self
        if bursts:
            if bursts not in ("masked", "positive"):
                raise Unsuitable(f"bursts cannot be {bursts}", "choose masked or positive")
            recipe = replace(recipe, bursts=bursts)
        if architecture:
            recipe = replace(recipe, architecture=architecture)
        if size:
            scale = size / self.size
            recipe = replace(
                recipe,
                size=size,
                cache_side=round(self.cache_side * scale),
                encode_side=round(self.encode_side * scale),
            )
        if recipe.architecture in WIDTHS:
            check_side(recipe.size)
            multiple = round(recipe.encode_side / PATCH) * PATCH
            recipe = replace(recipe, encode_side=multiple)
        if batch:
            recipe = replace(recipe, batch=batch, lr=self.lr * batch / self.batch)
        return recipe

    def at_side(self, side: int, architecture: str) -> "Recipe":
        """A copy for a network pretrained on photos of `side` pixels: views, cached and encoded
        photos scale with it.
        """
        scale = side / self.encode_side
        size = round(self.size * scale)
        if architecture in WIDTHS:
            size = max(PATCH, round(size / PATCH) * PATCH)
        cache_side = round(self.cache_side * scale)
        return replace(
            self, architecture=architecture, size=size, cache_side=cache_side, encode_side=side
        )

    def cache_bytes(self, photos: int) -> int:
        """Bytes on disk of that many decoded photos: all for the views, at most WHITENING_PHOTOS
        for the whitening.
        """
        sample = min(photos, WHITENING_PHOTOS)
        return 3 * (photos * self.cache_side**2 + sample * self.encode_side**2)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The inverse of dataclasses.asdict; unknown names, from other versions, are ignored."""
        other = values["other_views"] and ViewSettings(**values["other_views"])
        values = {**values, "views": ViewSettings(**values["views"]), "other_views": other}
        names = {f.name for f in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in names})


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
    # arXiv:2104.02057 for ResNet-50 at 100 epochs: section 4.1, and the authors' reference
    # configuration where the paper gives no value (smallest crop, weight decay, momentum). Views
    # are BYOL's (arXiv:2006.07733, appendix B): the second one is rarely blurred, and solarized.
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
    # MoCo v3 for ViT-S/16 and ViT-B/16, sections 4.1 to 4.3: AdamW, T .2, 40 of 300 epochs of
    # warm-up, smaller crops (the authors' default).
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
    # Our recipe, for a few thousand photos and minutes of CPU time; measured in
    # benchmarks/recipes.md. A symmetric loss, a short queue, a low momentum, a head on all
    # stages and above all Muon learn more from few steps. T and splits are from the authors'
    # CIFAR demo.
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

SMALL_LITE = replace(
    # The same for EfficientNet-Lite, which is always pretrained. SMALL's rate and views make it
    # forget: after 3.5 passes over Caltech-101 hard views find 72% of the photos, 92% at the start.
    # With these settings it is 94% after 2.8 passes (benchmarks/recipes.md).
    SMALL,
    architecture="efficientnet_lite0",
    size=128,
    cache_side=160,
    m=0.99,
    symmetric=False,
    splits=1,
    batch=64,
    optimizer="adamw",
    lr=2e-4,
    weight_decay=0.02,
    views=ViewSettings(scale=(0.3, 1.0)),
    learned_projection=True,
)

SEED = replace(
    # Our recipe with a teacher: the loss of arXiv:2101.04731 on a pretrained network. The teacher's
    # key is of the whole photo, so a view is nearly all of it: with smaller crops and stronger
    # colours the student learns less (benchmarks/recipes.md).
    SMALL_LITE,
    name="seed",
    K=8192,
    T=0.07,
    T_teacher=0.05,
    dim=256,
    lr=5e-4,
    epochs=3,
    frozen=1,
    views=ViewSettings(
        scale=(0.8, 1.0),
        brightness=0.2,
        contrast=0.2,
        saturation=0.2,
        hue=0.05,
        grey=0.05,
        blur=0.1,
    ),
)

RECIPES = {r.name: r for r in (V1, V2, V3, SMALL)}

V2_MIN_FILES = 200_000
"""Three times v2's queue; with fewer, most negatives are stale keys of few photos."""
V2_MIN_EPOCHS = 10
"""A run of fewer epochs is too short for v2's settings."""
V2_PHOTOS_PER_SECOND = 15
"""Training speed of a ResNet-50 at 224 pixels on two CPU cores, in bf16."""


def choose(
    name: str,
    files: int,
    seconds: float | None = None,
    architecture: str | None = None,
    cache_limit: int | None = None,
) -> tuple[Recipe, str]:
    """The recipe for a name and the reason for the choice; `auto` chooses by the arguments.

    files: number of files with a picture's name.
    seconds: the time limit, None for none.
    architecture: as requested, None for the recipe's; a ViT has its own settings for v3.
    cache_limit: bytes that the decoded photos may take, None for no limit.

    Raises Unsuitable for an unknown name.
    """
    vit = architecture in WIDTHS
    if name == "auto" and vit:
        return V3_VIT, f"{architecture} trains with MoCo v3's settings"
    if name == "auto":
        return _by_size_and_time(files, seconds, cache_limit)
    if name == "v3" and vit:
        return V3_VIT, "as requested"
    if name not in RECIPES:
        raise Unsuitable(
            f"unknown recipe {name}", f"choose one of: auto, {', '.join(sorted(RECIPES))}"
        )
    return RECIPES[name], "as requested"


def _by_size_and_time(
    files: int, seconds: float | None, cache_limit: int | None
) -> tuple[Recipe, str]:
    v2_seconds = files * V2_MIN_EPOCHS / V2_PHOTOS_PER_SECOND
    if files < V2_MIN_FILES:
        return SMALL, f"{files} picture files are too few for the papers' settings"
    if cache_limit is not None and V2.cache_bytes(files) > cache_limit:
        need = f"{V2.cache_bytes(files) / 1e9:.0f} GB, --cache-size allows {cache_limit / 1e9:.1f}"
        return SMALL, f"{files} photos cached for the papers' settings take {need}"
    if seconds is not None and seconds < v2_seconds:
        hours = f"{seconds / 3600:.1f} hours are too short for the papers' settings"
        return SMALL, f"{hours}, which need {v2_seconds / 3600:.0f} for {files} files"
    return V2, f"{files} files and the time are enough for the paper's settings"


def fit_to(recipe: Recipe, photos: int, processes: int = 1) -> Recipe:
    """The recipe with batch size, queue and sub-batches reduced for a small collection, and a
    batch that several processes can divide.

    The queue stays below half of the collection, since otherwise most negatives are stale keys
    of the same photos; a batch is no larger than the collection. Each process has as many
    sub-batches. Raises Unsuitable for fewer than two photos per process.
    """
    batch = max(2, min(recipe.batch, photos)) // processes * processes
    if batch < 2 * processes:
        raise Unsuitable(
            f"{min(recipe.batch, photos)} photos per step are too few for {processes} processes",
            "use fewer processes, or a larger --batch",
        )
    splits = max(1, min(recipe.splits, batch // 2) // processes) * processes
    K = max(batch, min(recipe.K, photos // 2)) if recipe.K else 0
    return replace(recipe, batch=batch, splits=splits, K=K, lr=recipe.lr * batch / recipe.batch)
