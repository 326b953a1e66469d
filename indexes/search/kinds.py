"""Kinds of FAISS index: chosen by size, built from a stream, tuned to a recall."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.search.segments import EXACT, About, Halves, Ids, Keys, exact, load_faiss
from mocosearch.errors import Unsuitable

Rows = Callable[[slice], Iterator[Halves]]
"""Keys of a part of the rows, in pieces, so that nobody ever holds all of them."""

EXACT_BELOW = 50_000
"""Keys up to which comparing with every one of them takes a few milliseconds."""
PER_CENTROID = 64
"""Keys a list that the lists are learned from; FAISS asks for 39 at least."""
ROUNDS = 10
"""Of k-means: more gain nothing on keys of an encoder."""
QUESTIONS = 1024
KEYS_A_QUESTION = 8
"""Keys of a small collection for each that is asked with."""
NEAREST = 10
MOST_NODES = 2048
"""Of a graph, to look at: beyond, comparing with every key is as fast."""
SURE = 2.0
"""Standard errors by which the recall that is measured must be above the one asked for."""


@dataclass(frozen=True)
class Plan:
    """What is wished for: `auto` or a FAISS factory string, and the recall of approximate ones."""

    kind: str = "auto"
    recall: float = 0.98

    def but(self, kind: str | None, recall: float | None) -> "Plan":
        """The same with another kind or recall; None leaves either as it is."""
        kind = self.kind if kind is None else kind
        return Plan(kind, self.recall if recall is None else recall)


def chosen(kind: str, count: int) -> str:
    """The factory string for so many keys.

    Beyond EXACT_BELOW: lists of a few hundred keys, each key as one bit a number (RaBitQ,
    arXiv:2405.12497), and the best of those compared exactly. FAISS copies the lists of its faster
    codes (PQ in registers) when it opens an index, a twelfth of it, and reads these where they lie:
    a question from a cold start waits for that and not for the search. HNSW answers in a third of
    the time, and FAISS reads all links of it first: 2 s from a cold disk, where this takes 0.1 s.
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
        raise Unsuitable(f"a recall of {plan.recall:g}", "name a share above 0, up to 1")
    if plan.kind == "auto":
        return
    try:
        index = _made(plan.kind, dimension)
    except RuntimeError as error:
        raise Unsuitable(f"FAISS takes no kind {plan.kind!r}: {_reason(error)}", _KINDS) from error
    faiss = load_faiss()
    if isinstance(faiss.downcast_index(index), faiss.IndexIDMap):
        raise Unsuitable(f"{plan.kind!r} keeps ids of its own", "leave IDMap out")
    if not _masked(_inner(index)):
        raise Unsuitable(f"FAISS cannot leave deleted photos out of the kind {plan.kind!r}", _KINDS)


def links(kind: str, dimension: int) -> int:
    """Bytes that a graph keeps of each key's neighbours; 0 for kinds without one."""
    if kind == "auto":
        return 0
    whole = _made(kind, dimension)
    inner = _inner(whole)
    # 4 bytes each, and a little more for the layers above the first.
    return 5 * inner.hnsw.nb_neighbors(0) if isinstance(inner, load_faiss().IndexHNSW) else 0


def _masked(inner: Any) -> bool:
    """Whether FAISS searches among some of the rows of such an index."""
    faiss = load_faiss()
    some = (faiss.IndexFlat, faiss.IndexScalarQuantizer, faiss.IndexHNSW, faiss.IndexIVF)
    none = (faiss.IndexIVFAdditiveQuantizer, faiss.IndexIVFAdditiveQuantizerFastScan)
    return isinstance(inner, some) and not isinstance(inner, none)


def _inner(index: Any) -> Any:
    """What finds candidates: within transformations, and before they are compared exactly. It
    lives as long as the whole.
    """
    faiss = load_faiss()
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexRefine):
        return _inner(index.base_index)
    return _inner(index.index) if isinstance(index, faiss.IndexPreTransform) else index


_KINDS = "write auto, HNSW32, IVF1024,SQ8 or another factory string of FAISS"


def _made(kind: str, dimension: int) -> Any:
    faiss = load_faiss()
    return faiss.index_factory(dimension, kind, faiss.METRIC_INNER_PRODUCT)


def _reason(error: RuntimeError) -> str:
    """FAISS's own words, without where in its source they stand."""
    return str(error).rpartition("Error: ")[2].partition("\n")[0].strip() or str(error)


def build(rows: Rows, count: int, plan: Plan) -> tuple[memoryview, About]:
    """A FAISS index over `count` keys, as bytes, and what is to be said of it.

    Where there are too few keys to train or to tune the kind wished for, an exact one. The last
    keys are those that it is tuned with, before they are in it: `arranged` puts them there.
    """
    dimension = next(rows(slice(0, 1))).shape[1]
    kind, first = chosen(plan.kind, count), count - _held(count)
    if kind == EXACT.kind or first == count:
        return _plain(rows, count, plan)
    index = _made(kind, dimension)
    if not index.is_trained:
        try:
            _train(index, rows, first)
        except RuntimeError:
            return _plain(rows, count, plan)
    _add(index, rows(slice(0, first)))
    questions = np.concatenate(list(rows(slice(first, count)))).astype(np.float32)
    settings, recall = _tuned(index, questions, rows(slice(0, first)), plan.recall)
    _add(index, rows(slice(first, count)))
    told = About(kind, plan.kind, settings, plan.recall, recall)
    return memoryview(load_faiss().serialize_index(index)), told


def arranged(ids: Ids) -> Ids:
    """Photos in the order in which `build` takes their keys: evenly drawn ones at the end."""
    drawn = np.linspace(0, len(ids) - 1, _held(len(ids)) + 2).astype(int)[1:-1]
    return np.concatenate([np.delete(ids, drawn), ids[drawn]])


def _held(count: int) -> int:
    """How many of the keys are questions at first."""
    return min(QUESTIONS, count // KEYS_A_QUESTION)


def _plain(rows: Rows, count: int, plan: Plan) -> tuple[memoryview, About]:
    keys = np.concatenate(list(rows(slice(0, count))))
    return exact(keys), About(EXACT.kind, plan.kind, wanted=plan.recall)


def _add(index: Any, pieces: Iterator[Halves]) -> None:
    for piece in pieces:
        index.add(piece.astype(np.float32))


def _train(index: Any, rows: Rows, count: int) -> None:
    faiss = load_faiss()
    # What FAISS says on stdout of too few keys is for nobody.
    inner = faiss.try_extract_index_ivf(index)
    lists = inner.nlist if inner is not None else 0
    if lists > count:
        raise RuntimeError("fewer keys than lists")
    if inner is not None:
        inner.cp.niter = ROUNDS
        inner.cp.min_points_per_centroid = 1
    some = slice(0, count, max(1, count // max(PER_CENTROID * lists, 65_536)))
    index.train(np.concatenate(list(rows(some))).astype(np.float32))


def _tuned(
    index: Any, questions: Keys, pieces: Iterator[Halves], wanted: float
) -> tuple[str, float]:
    """The cheapest settings that reach a recall, and the recall that they reach.

    Measured with keys that are not in the index (a graph leads from a key of its own straight to
    its neighbours): the share of their NEAREST nearest keys, of those in `pieces`, that is found,
    which must be sure to be no luck of those chosen. Where no setting reaches it, the best there
    is.
    """
    truth = _neighbours(questions, pieces)

    def shares(settings: str) -> Any:
        if settings:
            load_faiss().ParameterSpace().set_index_parameters(index, settings)
        return found_of(index.search(questions, truth.shape[1])[1], truth)

    rough, fine = _rough(index), _fine(index)
    # Candidates must be enough for what is asked before it makes sense to look in fewer lists.
    room = wanted + 0.4 * (1 - wanted)
    first = next((s for s in rough if shares(s).mean() >= room), rough[-1])
    last, reached = "", 0.0
    for settings in fine:
        last = ",".join(filter(None, (settings, first.partition(",")[2])))
        found = shares(last)
        reached = float(found.mean())
        if reached - SURE * float(found.std()) / len(found) ** 0.5 >= wanted:
            break
    return last, reached


def found_of(found: Any, truth: Any) -> Any:
    """The share of its true neighbours that each question finds, float64 (n,): rows (n, k) each."""
    pairs = zip(found.tolist(), truth.tolist(), strict=True)
    return np.array([len(set(some) & set(near)) / len(near) for some, near in pairs])


def _neighbours(questions: Keys, pieces: Iterator[Halves]) -> Any:
    """The rows of each question's nearest keys: (n, NEAREST) or narrower."""
    faiss = load_faiss()
    scores = np.empty((len(questions), 0), np.float32)
    best = np.empty((len(questions), 0), np.int64)
    first = 0
    for piece in pieces:
        some = piece.astype(np.float32), min(NEAREST, len(piece)), faiss.METRIC_INNER_PRODUCT
        found, at = faiss.knn(questions, *some)
        scores = np.concatenate([scores, found], 1)
        best = np.concatenate([best, at + first], 1)
        keep = np.argsort(-scores, axis=1, kind="stable")[:, :NEAREST]
        scores, best = np.take_along_axis(scores, keep, 1), np.take_along_axis(best, keep, 1)
        first += len(piece)
    return best


def _rough(index: Any) -> list[str]:
    """Numbers of candidates to compare exactly, fewest first, while many lists are searched."""
    faiss = load_faiss()
    inner = faiss.try_extract_index_ivf(index)
    probes = f"nprobe={max(1, inner.nlist // 2)}" if inner is not None else ""
    if not isinstance(index, faiss.IndexRefine):
        return [probes]
    return [f"{probes},k_factor_rf={factor}" for factor in (2, 4, 8, 16, 32, 64)]


def _fine(index: Any) -> list[str]:
    """Numbers of lists, or of nodes of the graph, to search: fewest first."""
    faiss = load_faiss()
    inner = faiss.try_extract_index_ivf(index)
    grown = sorted({round(2 ** (power / 3)) for power in range(48)})
    if inner is not None:
        return [f"nprobe={n}" for n in grown if n < inner.nlist] + [f"nprobe={inner.nlist}"]
    if isinstance(_inner(index), faiss.IndexHNSW):
        return [f"efSearch={n}" for n in grown if NEAREST <= n <= MOST_NODES]
    return [""]
