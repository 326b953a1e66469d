"""Kinds of FAISS index: chosen by size, built from a stream, tuned to a recall."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.segments import EXACT, About, Halves, Keys, exact, load_faiss
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
NEAREST = 10
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
    a question from a cold start waits for that and not for the search. HNSW answers in an eighth of
    the time and opens in three times as long; how much it finds is not told as surely by keys that
    are in its graph. Figures: benchmarks/recipes.md.
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

    Where there are too few keys to train the kind wished for, an exact one.
    """
    dimension = next(rows(slice(0, 1))).shape[1]
    kind = chosen(plan.kind, count)
    if kind == EXACT.kind:
        return _plain(rows, count, plan)
    index = _made(kind, dimension)
    if not index.is_trained:
        try:
            _train(index, rows, count)
        except RuntimeError:
            return _plain(rows, count, plan)
    for piece in rows(slice(0, count)):
        index.add(piece.astype(np.float32))
    settings, recall = tuned(index, rows, count, plan.recall)
    told = About(kind, plan.kind, settings, plan.recall, recall)
    return memoryview(load_faiss().serialize_index(index)), told


def _plain(rows: Rows, count: int, plan: Plan) -> tuple[memoryview, About]:
    keys = np.concatenate(list(rows(slice(0, count))))
    return exact(keys), About(EXACT.kind, plan.kind, wanted=plan.recall)


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
    some = slice(0, count, _training_step(index, count))
    index.train(np.concatenate(list(rows(some))).astype(np.float32))


def _training_step(index: Any, count: int) -> int:
    """Rows from one key that an index is trained on to the next."""
    inner = load_faiss().try_extract_index_ivf(index)
    lists = inner.nlist if inner is not None else 0
    return max(1, count // max(PER_CENTROID * lists, 65_536))


def tuned(index: Any, rows: Rows, count: int, wanted: float) -> tuple[str, float]:
    """The cheapest settings that reach a recall, and the recall that they reach.

    Measured on keys that the lists were not learned from, each left out of its own answer: the
    share of their NEAREST nearest keys that is found, which must be sure to be no luck of those
    chosen. Where no setting reaches it, the best there is.
    """
    trained, step = _training_step(index, count), max(1, count // QUESTIONS)
    # A whole number of training steps apart, and the first of them beside a row of the training.
    step -= step % trained if step > trained else 0
    asked = np.arange(min(1, trained - 1), count, step)[:QUESTIONS]
    some = slice(int(asked[0]), int(asked[-1]) + 1, step)
    questions = np.concatenate(list(rows(some))).astype(np.float32)
    truth = _neighbours(questions, asked, rows, count)

    def shares(settings: str) -> Any:
        if settings:
            load_faiss().ParameterSpace().set_index_parameters(index, settings)
        if isinstance(index, load_faiss().IndexRefine):
            # One more is asked for than will be, which makes more candidates.
            index.k_factor *= NEAREST / (NEAREST + 1)
        _, found = index.search(questions, min(NEAREST + 1, count))
        return found_of(found, truth, asked)

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


def found_of(found: Any, truth: Any, asked: Any) -> Any:
    """The share of its true neighbours that each question finds, float64 (n,): of rows (n, k+1),
    (n, k), and the questions' own rows.
    """
    return np.array(
        [
            len(set(row[row != own][: len(near)].tolist()) & set(near.tolist())) / max(len(near), 1)
            for row, near, own in zip(found, truth, asked, strict=True)
        ]
    )


def _neighbours(questions: Keys, asked: Any, rows: Rows, count: int) -> Any:
    """The rows of each question's nearest keys but its own: (n, NEAREST) or narrower."""
    faiss, k = load_faiss(), min(NEAREST + 1, count)
    scores = np.empty((len(questions), 0), np.float32)
    best = np.empty((len(questions), 0), np.int64)
    first = 0
    for piece in rows(slice(0, count)):
        some = piece.astype(np.float32), min(k, len(piece)), faiss.METRIC_INNER_PRODUCT
        found, at = faiss.knn(questions, *some)
        scores = np.concatenate([scores, found], 1)
        best = np.concatenate([best, at + first], 1)
        keep = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        scores, best = np.take_along_axis(scores, keep, 1), np.take_along_axis(best, keep, 1)
        first += len(piece)
    # Its own row goes last, so that the others are cut off to the same number everywhere.
    keep = np.argsort(best == asked[:, None], axis=1, kind="stable")[:, : k - 1]
    return np.take_along_axis(best, keep, 1)


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
    if inner is not None:
        grown = sorted({round(2 ** (power / 3)) for power in range(48)})
        return [f"nprobe={n}" for n in grown if n < inner.nlist] + [f"nprobe={inner.nlist}"]
    if isinstance(_inner(index), faiss.IndexHNSW):
        return [f"efSearch={2**power}" for power in range(4, 12)]
    return [""]
