import numpy as np
import pytest

from indexes.search import kinds
from indexes.search.kinds import Plan, build, check, factory_string, recall_per_query, tuning_last
from indexes.search.segments import Segment
from mocosearch.errors import Damaged, Unsuitable

D = 32
NONE = np.empty(0, np.uint64)


def clustered(n: int, seed: int = 0, spread: float = 0.5) -> np.ndarray:
    """Unit keys in clusters, as those of photos are: fp16 (n, D)."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((40, D))
    keys = centres[rng.integers(0, 40, n)] + spread * rng.standard_normal((n, D))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float16)


def stream(keys: np.ndarray):
    def rows(part: slice):
        some = keys[part]
        for first in range(0, len(some), 700):
            yield some[first : first + 700]

    return rows


def segment(keys: np.ndarray, plan: Plan) -> Segment:
    blob, about = build(stream(keys), len(keys), plan)
    return Segment.view(memoryview(np.arange(1, len(keys) + 1, dtype=np.uint64)), blob, about)


def nearest(keys: np.ndarray, queries: np.ndarray, k: int, among=None) -> np.ndarray:
    scores = queries.astype(np.float32) @ keys.astype(np.float32).T
    if among is not None:
        out = np.ones(len(keys), bool)
        out[np.asarray(among, int) - 1] = False
        scores[:, out] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k] + 1


def recall(results: np.ndarray, truth: np.ndarray) -> float:
    k = truth.shape[1]
    return np.mean([len(set(f[:k]) & set(t)) / k for f, t in zip(results, truth, strict=True)])


@pytest.fixture(scope="module")
def keys() -> np.ndarray:
    return clustered(6000)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return clustered(200, seed=1).astype(np.float32)


@pytest.fixture(scope="module")
def lists(keys) -> Segment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "EXACT_BELOW", 1000)
        return segment(keys, Plan("auto", 0.95))


def test_the_kind_depends_on_the_size():
    assert factory_string("auto", kinds.EXACT_BELOW - 1) == "SQfp16"
    assert factory_string("auto", 1_000_000) == "IVF4096,RaBitQ,Refine(SQfp16)"
    assert factory_string("HNSW32", 5) == "HNSW32"


def test_a_large_index_reaches_its_recall(lists, keys, queries):
    assert lists.about.kind == "IVF256,RaBitQ,Refine(SQfp16)"
    assert lists.about.recall >= 0.95
    scores, results = lists.search(queries, 10)
    assert recall(results, nearest(keys, queries, 10)) >= 0.92
    exact = np.einsum("nd,nkd->nk", queries, keys[results.astype(int) - 1].astype(np.float32))
    np.testing.assert_allclose(scores, exact, atol=2e-3)


def test_higher_recall_searches_more(keys):
    probes = []
    for target in (0.5, 0.9, 0.99):
        about = segment(keys, Plan("IVF64,SQfp16", target)).about
        assert about.recall >= target
        probes.append(int(about.settings.split("=")[1]))
    assert probes == sorted(probes)
    assert probes[0] < probes[-1]


@pytest.mark.parametrize(
    "kind", ["Flat", "SQ8", "HNSW16", "IVF32,Flat", "PCA16,IVF16,SQfp16", "IVF32,SQ4,RFlat"]
)
def test_any_factory_string(kind, keys, queries):
    built = segment(keys, Plan(kind, 0.9))
    assert built.about.kind == kind
    results = built.search(queries, 10)[1]
    assert recall(results, nearest(keys, queries, 10)) >= (0.2 if "PCA" in kind else 0.6)


@pytest.mark.parametrize("kind", ["HNSW16", "IVF32,Flat", "PCA16,IVF16,SQfp16", "auto", "lists"])
def test_masks_and_subsets(kind, keys, queries, lists):
    built = lists if kind == "lists" else segment(keys[:3000], Plan(kind, 0.9))
    n = len(built.ids)
    deleted = built.ids[::3].copy()
    only = built.ids[: n // 2].copy()
    left = np.setdiff1d(only, deleted)
    results = built.search(queries, 10, built.select(deleted, only))[1]
    assert set(results[results > 0].tolist()) <= set(left.tolist())
    if kind != "PCA16,IVF16,SQfp16":
        assert recall(results, nearest(keys[:n], queries, 10, left)) >= 0.8


@pytest.mark.parametrize("kind", ["HNSW16", "IVF32,Flat", "PCA16,IVF16,SQfp16", "auto", "lists"])
def test_every_allowed_row_can_be_returned(kind, keys, queries, lists):
    built = lists if kind == "lists" else segment(keys[:3000], Plan(kind, 0.5))
    everything = built.search(queries[:2], len(built.ids))[1]
    assert all(set(results.tolist()) == set(built.ids.tolist()) for results in everything)
    only = built.ids[::50].copy()
    some = built.search(queries[:2], len(only), built.select(NONE, only))[1]
    assert all(set(results.tolist()) == set(only.tolist()) for results in some)


@pytest.mark.parametrize("kind", ["IVF4096,SQ8", "IVF64,PQ8"])
def test_too_few_keys_for_a_kind_are_compared_exactly(kind, keys):
    built = segment(keys[:30], Plan(kind))
    assert (built.about.kind, built.about.plan_kind) == ("SQfp16", kind)
    assert built.search(keys[:5].astype(np.float32), 1)[1][:, 0].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [1, 2, 11])
@pytest.mark.parametrize("kind", ["auto", "HNSW8", "IVF1,Flat"])
def test_very_few_keys(kind, count, keys):
    built = segment(keys[:count], Plan(kind))
    assert built.search(keys[:1].astype(np.float32), 5)[1][0, 0] == 1


@pytest.mark.parametrize("kind", ["Nonsense", "IVF,Flat", "", "IDMap,Flat", "PQ7"])
def test_an_impossible_kind_is_rejected_with_a_reason(kind):
    with pytest.raises(Unsuitable) as caught:
        check(Plan(kind), D)
    assert repr(kind) in caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("kind", ["PQ8", "PQ8x4fs,Refine(Flat)", "NSG16", "IVF16,RQ4x6", "LSH"])
def test_a_kind_that_cannot_skip_deleted_photos_is_rejected(kind):
    with pytest.raises(Unsuitable):
        check(Plan(kind), D)


@pytest.mark.parametrize("kind", ["IVF64,Flat", "lists"])
def test_recall_holds_for_a_few_scattered_rows(kind, keys, queries, lists):
    """Those in the lists that are searched without a mask would be a small part of them."""
    built = lists if kind == "lists" else segment(keys, Plan(kind, 0.95))
    only = built.ids[::25].copy()
    results = built.search(queries, 10, built.select(NONE, only))[1]
    assert recall(results, nearest(keys, queries, 10, only)) >= 0.92


def test_the_size_of_a_graph_includes_its_links(keys):
    blob, _ = build(stream(keys[:2000]), 2000, Plan("HNSW64"))
    assert 0.8 <= len(blob) / (2000 * (4 * D + kinds.links("HNSW64", D))) <= 1


@pytest.mark.parametrize("recall", [0, -1, 1.1, float("nan")])
def test_a_recall_is_a_share(recall):
    with pytest.raises(Unsuitable):
        check(Plan(recall=recall), D)


def test_damaged_blobs_raise_damaged(keys):
    blob, about = build(stream(keys[:50]), 50, Plan())
    ids = memoryview(np.arange(1, 51, dtype=np.uint64))
    for wrong in (b"", b"rubbish", bytes(blob)[:100], bytes(blob)[:-9]):
        with pytest.raises(Damaged, match="damaged"):
            Segment.view(ids, memoryview(wrong), about)
    with pytest.raises(Damaged):
        Segment.view(ids[:49], blob, about)


def test_recall_is_the_share_of_the_true_neighbours():
    truth = np.array([[5, 6], [7, 8]])
    assert recall_per_query(np.array([[5, 6], [7, 9]]), truth).tolist() == [1, 0.5]
    assert recall_per_query(np.array([[6, 5], [-1, -1]]), truth).tolist() == [1, 0]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 9000])
def test_tuning_keys_are_last(count):
    ids = np.arange(1, count + 1, dtype=np.uint64)
    ordered = tuning_last(ids)
    assert sorted(ordered.tolist()) == ids.tolist()
    count_last = min(1024, count // 8)
    last = ordered[count - count_last :].astype(int)
    assert (np.diff(last) <= 2 * 8 + 1).all()
    assert (np.diff(ordered[: count - count_last].astype(int)) > 0).all()


@pytest.mark.parametrize("kind", ["HNSW8", "HNSW16_SQfp16", "IVF64,Flat"])
def test_queries_from_outside_reach_the_recall(kind):
    """A graph leads from its own keys to their neighbours, and less surely from others."""
    keys, target = clustered(20_000, spread=1.0), 0.9
    ids = np.arange(1, len(keys) + 1, dtype=np.uint64)
    order = tuning_last(ids)
    blob, about = build(stream(keys[order.astype(int) - 1]), len(keys), Plan(kind, target))
    built = Segment.view(memoryview(order), blob, about)
    queries = clustered(500, seed=5, spread=1.0).astype(np.float32)
    results = built.search(queries, 10)[1]
    assert recall(results, nearest(keys, queries, 10)) >= target - 0.01
