"""Kinds of FAISS index: selection by size, building from a stream, tuning to a recall."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.search.segments import EXACT, NONSENSE, About, Halves, exact, load_faiss
from indexes.store.records import Ids, Keys
from mocosearch.errors import Unsuitable

Rows = Callable[[slice], Iterator[Halves]]
"""From a slice of the rows to their keys in pieces, so that they are never in memory together."""

EXACT_BELOW = 50_000
"""Below so many keys, comparing a query with each takes a few milliseconds."""
PER_CENTROID = 64
"""Training keys per list; FAISS asks for at least 39."""
ROUNDS = 10
"""Of k-means: more do not improve the recall on an encoder's keys."""
QUERIES = 1024
"""Most keys that an index is tuned with."""
KEYS_PER_QUERY = 8
"""Of a small collection, one key in so many is used for tuning."""
NEAREST = 10
MAX_EF_SEARCH = 2048
"""Beyond it, comparing with every key is as fast as searching the graph."""
SURE = 2.0
"""Standard errors by which the measured recall must exceed the target."""


@dataclass(frozen=True)
class Plan:
    """The kind of index to build, `auto` or a FAISS factory string, and the recall (0..1) that
    approximate kinds are tuned to.
    """

    kind: str = "auto"
    recall: float = 0.98

    def replace(self, kind: str | None, recall: float | None) -> "Plan":
        """The same with another kind or recall; None leaves either unchanged."""
        kind = self.kind if kind is None else kind
        return Plan(kind, self.recall if recall is None else recall)


@dataclass(frozen=True)
class Template:
    """A trained FAISS index without keys: an index of similar keys then needs no training.

    kind: FAISS's factory string. settings: as of `About`. empty: the index, as bytes.
    """

    kind: str
    settings: str
    empty: bytes

    @classmethod
    def of(cls, kind: str, settings: str, blob: memoryview) -> "Template":
        """From an index that was trained and tuned, as bytes; its keys are left out."""
        faiss = load_faiss()
        index = faiss.deserialize_index(np.frombuffer(blob, np.uint8))
        index.reset()
        return cls(kind, settings, bytes(memoryview(faiss.serialize_index(index))))

    def index(self, kind: str, dimension: int) -> Any:
        """The trained index without keys; None where it is of another kind or cannot be read."""
        try:
            index = load_faiss().deserialize_index(np.frombuffer(self.empty, np.uint8))
        except NONSENSE:
            return None
        return index if kind == self.kind and index.d == dimension else None

    def facts(self) -> Mapping[str, str]:
        """What is stored beside `empty`."""
        return {"kind": self.kind, "settings": self.settings}


def factory_string(kind: str, count: int) -> str:
    """FAISS's factory string for a plan's kind and a number of keys.

    `auto` from EXACT_BELOW keys on: lists of a few hundred keys, each key as one bit per dimension
    (RaBitQ, arXiv:2405.12497); the best candidates are compared exactly. The time from a cold
    start decides. FAISS copies the lists of its faster codes (PQ fast scan), a twelfth of the
    index, when it opens one; it reads the lists of RaBitQ in place. HNSW searches in a third of
    the time, but FAISS first reads all its links: 2 s from a cold disk, against 0.1 s here.
    Figures: benchmarks/recipes.md.
    """
    if kind != "auto":
        return kind
    if count < EXACT_BELOW:
        return EXACT.kind
    lists = 1 << round(np.log2(4 * np.sqrt(count)))
    return f"IVF{lists},RaBitQ,Refine(SQfp16)"


def check(plan: Plan, dimension: int) -> None:
    """Raises Unsuitable, with FAISS's reason, for a kind that cannot be built."""
    if not 0 < plan.recall <= 1:
        raise Unsuitable(f"a recall of {plan.recall:g}", "write a share above 0, up to 1")
    if plan.kind == "auto":
        return
    try:
        index = _create(plan.kind, dimension)
    except RuntimeError as error:
        what = f"FAISS cannot build the kind {plan.kind!r}: {_reason(error)}"
        raise Unsuitable(what, _KINDS) from error
    faiss = load_faiss()
    if isinstance(faiss.downcast_index(index), faiss.IndexIDMap):
        raise Unsuitable(f"{plan.kind!r} stores ids of its own", "leave IDMap out")
    if not _has_selectors(_inner(index)):
        raise Unsuitable(f"FAISS cannot skip deleted photos in the kind {plan.kind!r}", _KINDS)


def links(kind: str, dimension: int) -> int:
    """Bytes per key that a graph takes for its links; 0 for kinds without one."""
    if kind == "auto":
        return 0
    whole = _create(kind, dimension)
    inner = _inner(whole)
    # 4 bytes per link, and a quarter more for the layers above the first.
    return 5 * inner.hnsw.nb_neighbors(0) if isinstance(inner, load_faiss().IndexHNSW) else 0


def _has_selectors(inner: Any) -> bool:
    """Whether FAISS can search some rows only of such an index."""
    faiss = load_faiss()
    some = (faiss.IndexFlat, faiss.IndexScalarQuantizer, faiss.IndexHNSW, faiss.IndexIVF)
    none = (faiss.IndexIVFAdditiveQuantizer, faiss.IndexIVFAdditiveQuantizerFastScan)
    return isinstance(inner, some) and not isinstance(inner, none)


def _inner(index: Any) -> Any:
    """The part that finds candidates, inside transformations and refinement. It is valid as long
    as the whole index.
    """
    faiss = load_faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        return _inner(index.base_index)
    return _inner(index.index) if isinstance(index, faiss.IndexPreTransform) else index


_KINDS = "write auto, HNSW32, IVF1024,SQ8 or another factory string of FAISS"


def _create(kind: str, dimension: int) -> Any:
    faiss = load_faiss()
    return faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)


def _reason(error: RuntimeError) -> str:
    """FAISS's message without its place in the source."""
    return str(error).rpartition("Error: ")[2].partition("\n")[0].strip() or str(error)


def build(
    rows: Rows, count: int, plan: Plan, template: Template | None = None
) -> tuple[memoryview, About]:
    """A FAISS index over `count` keys, as bytes, and how it was built.

    It is exact where there are too few keys to train or tune the plan's kind. The last keys serve
    as queries for tuning before they are added: `tuning_last` puts them there. template: used
    where it is of the same kind; its settings too, if they reach the recall.
    """
    dimension = next(rows(slice(0, 1))).shape[1]
    kind, first = factory_string(plan.kind, count), count - _query_count(count)
    if kind == EXACT.kind or first == count:
        return _build_exact(rows, count, plan)
    ready = None if template is None else template.index(kind, dimension)
    index = _create(kind, dimension) if ready is None else ready
    if not index.is_trained:
        try:
            _train(index, rows, first)
        except RuntimeError:
            return _build_exact(rows, count, plan)
    _add(index, rows(slice(0, first)))
    queries = np.concatenate(list(rows(slice(first, count)))).astype(np.float32)
    usual = template.settings if template is not None and ready is not None else ""
    settings, recall = _tune(index, queries, rows(slice(0, first)), plan.recall, usual)
    _add(index, rows(slice(first, count)))
    about = About(kind, plan.kind, settings, plan.recall, recall)
    return memoryview(load_faiss().serialize_index(index)), about


def tuning_last(ids: Ids) -> Ids:
    """Ids in the order in which `build` expects their keys: evenly spaced ones at the end."""
    queries = np.linspace(0, len(ids) - 1, _query_count(len(ids)) + 2).astype(int)[1:-1]
    return np.concatenate([np.delete(ids, queries), ids[queries]])


def _query_count(count: int) -> int:
    """How many of the keys serve as queries for tuning."""
    return min(QUERIES, count // KEYS_PER_QUERY)


def _build_exact(rows: Rows, count: int, plan: Plan) -> tuple[memoryview, About]:
    keys = np.concatenate(list(rows(slice(0, count))))
    return exact(keys), About(EXACT.kind, plan.kind, plan_recall=plan.recall)


def _add(index: Any, pieces: Iterator[Halves]) -> None:
    for piece in pieces:
        index.add(piece.astype(np.float32))


def _train(index: Any, rows: Rows, count: int) -> None:
    faiss = load_faiss()
    inner = faiss.try_extract_index_ivf(index)
    lists = inner.nlist if inner is not None else 0
    if lists > count:
        raise RuntimeError("fewer keys than lists")
    if inner is not None:
        inner.cp.niter = ROUNDS
        # FAISS would print a warning on stdout.
        inner.cp.min_points_per_centroid = 1
    some = slice(0, count, max(1, count // max(PER_CENTROID * lists, 65_536)))
    index.train(np.concatenate(list(rows(some))).astype(np.float32))


def _tune(
    index: Any, queries: Keys, pieces: Iterator[Halves], target: float, usual: str = ""
) -> tuple[str, float]:
    """The cheapest settings that reach a recall, and the recall that they reach; the most thorough
    settings where none does.

    Recall is the share of the NEAREST nearest keys among `pieces` that a search finds. The queries
    are not in the index yet, because a graph leads from a key of its own straight to its
    neighbours. The measured recall must exceed the target by SURE standard errors. usual: settings
    that are used if they reach the target.
    """
    truth = _neighbours(queries, pieces)

    def recalls(settings: str) -> Any:
        if settings:
            load_faiss().ParameterSpace().set_index_parameters(index, settings)
        return recall_per_query(index.search(queries, truth.shape[1])[1], truth)

    if usual and (recall := float(recalls(usual).mean())) >= target:
        return usual, recall
    coarse, fine = _coarse(index), _fine(index)
    # First enough candidates for a recall above the target, while many lists are searched.
    margin = target + 0.4 * (1 - target)
    first = next((s for s in coarse if recalls(s).mean() >= margin), coarse[-1])
    last, recall = "", 0.0
    for settings in fine:
        last = ",".join(filter(None, (settings, first.partition(",")[2])))
        shares = recalls(last)
        recall = float(shares.mean())
        if recall - SURE * float(shares.std()) / len(shares) ** 0.5 >= target:
            break
    return last, recall


def recall_per_query(results: Any, truth: Any) -> Any:
    """The share of its true neighbours that each query finds, float64 (n,): rows (n, k) each."""
    pairs = zip(results.tolist(), truth.tolist(), strict=True)
    return np.array([len(set(some) & set(near)) / len(near) for some, near in pairs])


def _neighbours(queries: Keys, pieces: Iterator[Halves]) -> Any:
    """The rows of the nearest keys of each query, (n, NEAREST) or narrower."""
    faiss = load_faiss()
    scores = np.empty((len(queries), 0), np.float32)
    best = np.empty((len(queries), 0), np.int64)
    first = 0
    for piece in pieces:
        some = piece.astype(np.float32), min(NEAREST, len(piece)), faiss.METRIC_INNER_PRODUCT
        cosines, rows = faiss.knn(queries, *some)
        scores = np.concatenate([scores, cosines], 1)
        best = np.concatenate([best, rows + first], 1)
        keep = np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST]
        scores, best = np.take_along_axis(scores, keep, 1), np.take_along_axis(best, keep, 1)
        first += len(piece)
    return best


def _coarse(index: Any) -> list[str]:
    """Settings with half of the lists and rising numbers of candidates to compare exactly."""
    faiss = load_faiss()
    inner = faiss.try_extract_index_ivf(index)
    probes = f"nprobe={max(1, inner.nlist // 2)}" if inner is not None else ""
    if not isinstance(index, faiss.IndexRefine):
        return [probes]
    return [f"{probes},k_factor_rf={factor}" for factor in (2, 4, 8, 16, 32, 64)]


def _fine(index: Any) -> list[str]:
    """Settings with rising numbers of lists, or of nodes of a graph, to search."""
    faiss = load_faiss()
    inner = faiss.try_extract_index_ivf(index)
    steps = sorted({round(2 ** (power / 3)) for power in range(48)})
    if inner is not None:
        return [f"nprobe={n}" for n in steps if n < inner.nlist] + [f"nprobe={inner.nlist}"]
    if isinstance(_inner(index), faiss.IndexHNSW):
        return [f"efSearch={n}" for n in steps if NEAREST <= n <= MAX_EF_SEARCH]
    return [""]
