"""Do label-free rankings, that of `query` among them, retrieve more than plain cosine?

    python -m benchmarks.ranking --encoder PATH [--queries 1000] [--count 100000]

On Caltech-101 and groceries: P@1, P@10 and mAP of queries from inside the collection, each
without itself among its results, and of queries from outside it, a third of the photos. Exact
finds: the share of photos that rank first when they are the query. On the copies of one picture:
the share of the other copies among as many results. Baseline in the same run: plain cosine.
Bar: a ranking has a higher mAP than the baseline in all four, at least .98 of exact finds, no lower
recall of copies, and costs at most 2 ms per query at 100,000 keys.
"""

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.keys import clustered, create_index, merge_all
from benchmarks.measure import arguments, middle, needed, say, spread, table, title
from benchmarks.retrieval import SETS
from indexes.search.question import unit
from indexes.search.ranking import FIRST, rerank
from indexes.store.records import Keys
from mocosearch.encoder import Encoder
from mocosearch.photos.decode import Pixels, decode, read

EXACT, MILLISECONDS = 0.98, 2.0
AT_ONCE = 64
NOT = -np.inf


@dataclass(frozen=True)
class Retrieval:
    """Queries and their mirror images (q, d), and the collection (n, d). own[i] is the row of query
    i, or -1 where it is not in the collection."""

    queries: Keys
    mirrored: Keys
    keys: Keys
    own: NDArray[np.int64]

    def cosines(self, queries: Keys, keys: Keys | None = None) -> Keys:
        """All cosines (q, n), -inf at the query's own row."""
        scores: Keys = queries @ (self.keys if keys is None else keys).T
        inside = np.flatnonzero(self.own >= 0)
        scores[inside, self.own[inside]] = NOT
        return scores


Way = Callable[[Retrieval], Keys]


def plain(task: Retrieval) -> Keys:
    return task.cosines(task.queries)


def best_of_mirror(task: Retrieval) -> Keys:
    """The better of picture and mirror, for each key."""
    return np.maximum(task.cosines(task.queries), task.cosines(task.mirrored))


def mean_of_mirror(task: Retrieval) -> Keys:
    return task.cosines(unit(task.queries + task.mirrored))


def expanded(count: int, alpha: float, mirror: bool = False) -> Way:
    """Alpha query expansion: the nearest keys are added to the query, weighted by cosine to a power
    (Radenovic et al., "Fine-tuning CNN image retrieval with no human annotation", 2019, 3.4).
    """

    def way(task: Retrieval) -> Keys:
        queries = unit(task.queries + task.mirrored) if mirror else task.queries
        return task.cosines(augment(queries, task.keys, task.cosines(queries), count, alpha))

    return way


def augmented(count: int, alpha: float) -> Way:
    """Database-side augmentation: the nearest keys are added to each key, before any query
    (Arandjelovic and Zisserman, "Three things everyone should know", 2012, section 4).
    """

    def way(task: Retrieval) -> Keys:
        keys = task.keys
        cosines = keys @ keys.T
        np.fill_diagonal(cosines, NOT)
        return task.cosines(task.queries, augment(keys, keys, cosines, count, alpha))

    return way


def augment(queries: Keys, keys: Keys, cosines: Keys, count: int, alpha: float) -> Keys:
    nearest = np.argpartition(-cosines, count, axis=1)[:, :count]
    weights = np.take_along_axis(cosines, nearest, 1).clip(0) ** alpha
    return unit(queries + np.einsum("qc,qcd->qd", weights, keys[nearest]))


def as_query(task: Retrieval) -> Keys:
    """The first FIRST as `query` re-ranks them."""
    return first_again(task, lambda query, keys: rerank(query[None], keys))


def reciprocal(near: int, nearer: int, share: float) -> Way:
    """The first FIRST by k-reciprocal neighbours among themselves."""

    return lambda task: first_again(
        task, lambda query, keys: again(query, keys, near, nearer, share)
    )


def first_again(task: Retrieval, rank: Callable[[Keys, Keys], NDArray[np.int64]]) -> Keys:
    """Cosines, with the first FIRST re-ranked."""
    scores = plain(task)
    for row, query in enumerate(task.queries):
        best = np.argsort(-scores[row])[:FIRST]
        best = best[scores[row, best] > NOT]
        order = rank(query, task.keys[best])
        # Above every cosine, so that they stay first.
        scores[row, best[order]] = 3 - np.arange(len(best)) / len(best)
    return scores


def again(query: Keys, keys: Keys, near: int, nearer: int, share: float) -> NDArray[np.int64]:
    """The order of keys (n, d), nearest first, by the overlap of the reciprocal neighbours of query
    and key; share: weight of the plain distance (Zhong et al., "Re-ranking person
    re-identification with k-reciprocal encoding", 2017, equations 3 to 12), within these keys.
    """
    all_of_them = np.concatenate([query[None], keys])
    distances = 2 - 2 * all_of_them @ all_of_them.T
    distances /= distances.max(1, keepdims=True)
    ranks = np.argsort(distances, axis=1, kind="stable")
    place = ranks.argsort(1)
    mutual, half = ((place <= k) & (place <= k).T for k in (near, near // 2))
    small = half.astype(np.float32)
    # A neighbour's own neighbours are added where two thirds of them are neighbours already.
    most = mutual & (mutual.astype(np.float32) @ small.T > 2 / 3 * small.sum(1))
    wide = mutual | (most.astype(np.float32) @ small > 0)
    weights = np.where(wide, np.exp(-distances), 0)
    weights /= weights.sum(1, keepdims=True)
    weights = weights[ranks[:, :nearer]].mean(1)
    shared = np.minimum(weights[0], weights[1:]).sum(1)
    jaccard = 1 - shared / (2 - shared)
    return np.argsort((1 - share) * jaccard + share * distances[0, 1:], kind="stable")


PLAIN = "plain cosine"
QUERY = "as query ranks"
WAYS: Mapping[str, Way] = {
    PLAIN: plain,
    QUERY: as_query,
    "picture and mirror, better of two": best_of_mirror,
    "picture and mirror, mean": mean_of_mirror,
    "alpha query expansion, 1": expanded(1, 3),
    "alpha query expansion, 3": expanded(3, 3),
    "alpha query expansion, 5": expanded(5, 3),
    "alpha query expansion, 10": expanded(10, 3),
    "mean of mirror, expansion 3": expanded(3, 3, mirror=True),
    "database augmentation, 1": augmented(1, 3),
    "database augmentation, 3": augmented(3, 3),
    "database augmentation, 5": augmented(5, 3),
    "k-reciprocal, 20, 6, .3": reciprocal(20, 6, 0.3),
    "k-reciprocal, 10, 3, .6": reciprocal(10, 3, 0.6),
}


@dataclass(frozen=True)
class Photos:
    """A labelled set: keys (n, d), those of the mirror images, and the labels."""

    keys: Keys
    mirrored: Keys
    labels: NDArray[Any]


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("--encoder", type=Path, required=True, help="a trained encoder's folder")
    parser.add_argument("--limit", type=int, help="at most so many photos a set [all]")
    parser.add_argument("--queries", type=int, default=1000, help="queries a set [1000]")
    parser.add_argument("--count", type=int, default=100_000, help="keys for the cost [100000]")
    args = parser.parse_args()
    title(__doc__)
    encoder = Encoder.open(args.encoder)
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WAYS}
    exact: dict[str, list[float]] = {name: [] for name in WAYS}
    heads = []
    for set in SETS:
        photos = labelled(args.photos, set, encoder, args.limit)
        inside, outside = questions(photos, args.queries)
        heads += [f"{set} inside", f"{set} outside"]
        for name, way in WAYS.items():
            say(f"{set}: {name}")
            figures[name] += [scored(way, *inside), scored(way, *outside)]
            exact[name].append(finds_itself(way, inside[0]))
    copies = labelled(args.photos, "copies", encoder, None)
    recalls = {name: recall(way, copies, "bridge") for name, way in WAYS.items()}
    costs = cost(args.count, encoder, args.queries)
    report(heads, figures, exact, recalls, costs)


def labelled(data: Path, name: str, encoder: Encoder, limit: int | None) -> Photos:
    lines = needed(data / f"{name}.tsv").read_text().splitlines()
    pairs = [line.split("\t") for line in spread(lines, limit or len(lines))]
    say(f"{name}: {len(pairs)} photos, encoded twice")
    both = []
    for first in range(0, len(pairs), AT_ONCE):
        some = [decode(read(data / p), encoder.side).pixels for p, _ in pairs[first:][:AT_ONCE]]
        both.append(encoded(encoder, np.stack(some)))
    keys, mirrored = (np.concatenate(part) for part in zip(*both, strict=True))
    # In the precision of the store.
    stored = unit(keys.astype(np.float16).astype(np.float32))
    return Photos(stored, mirrored, np.array([label for _, label in pairs]))


def encoded(encoder: Encoder, pixels: Pixels) -> tuple[Keys, Keys]:
    return encoder.encode(pixels), encoder.encode(pixels[:, :, ::-1])


Question = tuple[Retrieval, NDArray[np.bool_]]


def questions(photos: Photos, count: int) -> tuple[Question, Question]:
    """Queries from inside and from outside; with each, which keys have the query's label."""
    n = len(photos.keys)
    order = np.random.default_rng(0).permutation(n)
    outer, rest = order[: n // 3], np.sort(order[n // 3 :])

    def of(rows: NDArray[np.int64], among: NDArray[np.int64], own: NDArray[np.int64]) -> Question:
        task = Retrieval(photos.keys[rows], photos.mirrored[rows], photos.keys[among], own)
        return task, photos.labels[rows][:, None] == photos.labels[among][None]

    rows = order[:count]
    outside = outer[:count]
    return of(rows, np.arange(n), rows), of(outside, rest, np.full(len(outside), -1))


def scored(way: Way, task: Retrieval, same: NDArray[np.bool_]) -> tuple[float, float, float]:
    """P@1, P@10 and mAP; queries without another photo of their label do not count for mAP."""
    scores = way(task)
    order = np.argsort(-scores, axis=1, kind="stable")
    there = np.take_along_axis(scores, order, 1) > NOT
    right = np.take_along_axis(same, order, 1) & there
    ranks = [np.flatnonzero(row) + 1 for row in right]
    precisions = [(np.arange(1, len(r) + 1) / r).mean() for r in ranks if len(r)]
    return float(right[:, 0].mean()), float(right[:, :10].mean()), float(np.mean(precisions))


def finds_itself(way: Way, task: Retrieval) -> float:
    """Share of the photos of the collection that rank first when they are the query."""
    rows = task.own
    whole = Retrieval(task.queries, task.mirrored, task.keys, np.full(len(rows), -1))
    return float((way(whole).argmax(1) == rows).mean())


def recall(way: Way, photos: Photos, label: str) -> float:
    """Share of a label's other photos among as many results, over all its photos."""
    rows = np.flatnonzero(photos.labels == label)
    scores = way(Retrieval(photos.keys[rows], photos.mirrored[rows], photos.keys, rows))
    best = np.argsort(-scores, axis=1, kind="stable")[:, : len(rows) - 1]
    return float((photos.labels[best] == label).mean())


def cost(count: int, encoder: Encoder, questions: int) -> dict[str, float]:
    """Milliseconds that each ranking adds to a query, in an index of synthetic keys."""
    pixels = np.zeros((1, encoder.side, encoder.side, 3), np.uint8)
    some = np.concatenate(list(clustered(min(questions, 200), 256, seed=7))).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        index = create_index(Path(folder) / "index", count, 256)
        merge_all(index)
        (segment,) = index.snapshot.segments

        def search(keys: Keys, k: int = FIRST) -> Any:
            return segment.search(keys, k)[1]

        ids = search(some[:1])[0]
        neighbours = index.keys(ids)
        parts = {
            "encode one more": lambda key: encoder.encode(pixels),
            "search": lambda key: search(key[None]),
            "search for ten": lambda key: search(key[None], 10),
            "search for two": lambda key: search(np.stack([key, key])),
            "read 10 keys": lambda key: index.keys(ids[:10]),
            "read 100 keys": lambda key: index.keys(ids),
            "rank 100 by reciprocal neighbours": lambda key: again(key, neighbours, 20, 6, 0.3),
            "rank 100 as query does": lambda key: rerank(key[None], neighbours),
        }
        costs = {name: median_ms(part, some) for name, part in parts.items()}
        index.close()
    mirror = costs["encode one more"] + costs["search for two"] - costs["search"]
    mean = costs["encode one more"]
    more = costs["search"] + costs["read 10 keys"]
    # The search returns more results than are shown.
    reading = costs["read 100 keys"] + max(costs["search"] - costs["search for ten"], 0.0)
    kinds = {
        "picture and mirror, better": mirror,
        "picture and mirror, mean": mean,
        "alpha": more,
        "mean of mirror, expansion": mean + more,
        "k-reciprocal": reading + costs["rank 100 by reciprocal neighbours"],
        QUERY: reading + costs["rank 100 as query does"],
    }
    print(", ".join(f"{name} {ms:.2f} ms" for name, ms in costs.items()), f"({count} keys)\n")
    return {
        name: next((ms for kind, ms in kinds.items() if name.startswith(kind)), 0.0)
        for name in WAYS
    }


def median_ms(part: Callable[[Keys], Any], keys: Keys) -> float:
    """Milliseconds, the median over the keys."""
    part(keys[0])
    durations = []
    for key in keys:
        begun = time.perf_counter()
        part(key)
        durations.append(1000 * (time.perf_counter() - begun))
    return middle(durations)


def report(
    heads: list[str],
    figures: dict[str, list[tuple[float, float, float]]],
    exact: dict[str, list[float]],
    recalls: dict[str, float],
    costs: dict[str, float],
) -> None:
    rows, better = [], []
    for name, some in figures.items():
        least = min(one[2] / base[2] for one, base in zip(some, figures[PLAIN], strict=True))
        fit = min(exact[name]) >= EXACT and recalls[name] >= recalls[PLAIN]
        if name != PLAIN and least > 1 and fit and costs[name] <= MILLISECONDS:
            better.append(f"{name} ({least:.3f}x)")
        cells = [" / ".join(f"{x:.3f}" for x in one) for one in some]
        figures_of = [f"{min(exact[name]):.3f}", f"{recalls[name]:.3f}", f"{costs[name]:.2f}"]
        rows.append([name, *cells, f"{least:.3f}x", *figures_of])
    print("P@1 / P@10 / mAP\n")
    last = ["mAP, the least gain", "itself first", "copies", "ms more"]
    table(["ranking", *heads, *last], rows)
    print(f"\nabove the bar in all: {', '.join(better) or 'none'}")


if __name__ == "__main__":
    main()
