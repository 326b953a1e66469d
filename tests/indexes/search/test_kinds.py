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
    blob, told = build(stream(keys), len(keys), plan)
    return Segment.view(memoryview(np.arange(1, len(keys) + 1, dtype=np.uint64)), blob, told)


def nearest(keys: np.ndarray, questions: np.ndarray, k: int, among=None) -> np.ndarray:
    scores = questions.astype(np.float32) @ keys.astype(np.float32).T
    if among is not None:
        out = np.ones(len(keys), bool)
        out[np.asarray(among, int) - 1] = False
        scores[:, out] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :k] + 1


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    k = truth.shape[1]
    return np.mean([len(set(f[:k]) & set(t)) / k for f, t in zip(found, truth, strict=True)])


@pytest.fixture(scope="module")
def keys() -> np.ndarray:
    return clustered(6000)


@pytest.fixture(scope="module")
def questions() -> np.ndarray:
    return clustered(200, seed=1).astype(np.float32)


@pytest.fixture(scope="module")
def lists(keys) -> Segment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "EXACT_BELOW", 1000)
        return segment(keys, Plan("auto", 0.95))


def test_size_chooses_the_kind():
    assert factory_string("auto", kinds.EXACT_BELOW - 1) == "SQfp16"
    assert factory_string("auto", 1_000_000) == "IVF4096,RaBitQ,Refine(SQfp16)"
    assert factory_string("HNSW32", 5) == "HNSW32"


def test_a_large_index_finds_what_it_promises(lists, keys, questions):
    assert lists.about.kind == "IVF256,RaBitQ,Refine(SQfp16)"
    assert lists.about.recall >= 0.95
    scores, found = lists.search(questions, 10)
    assert recall(found, nearest(keys, questions, 10)) >= 0.92
    exact = np.einsum("nd,nkd->nk", questions, keys[found.astype(int) - 1].astype(np.float32))
    np.testing.assert_allclose(scores, exact, atol=2e-3)


def test_higher_recall_searches_more(keys):
    probes = []
    for wanted in (0.5, 0.9, 0.99):
        told = segment(keys, Plan("IVF64,SQfp16", wanted)).about
        assert told.recall >= wanted
        probes.append(int(told.settings.split("=")[1]))
    assert probes == sorted(probes)
    assert probes[0] < probes[-1]


@pytest.mark.parametrize(
    "kind", ["Flat", "SQ8", "HNSW16", "IVF32,Flat", "PCA16,IVF16,SQfp16", "IVF32,SQ4,RFlat"]
)
def test_any_factory_string(kind, keys, questions):
    made = segment(keys, Plan(kind, 0.9))
    assert made.about.kind == kind
    found = made.search(questions, 10)[1]
    assert recall(found, nearest(keys, questions, 10)) >= (0.2 if "PCA" in kind else 0.6)


@pytest.mark.parametrize("kind", ["HNSW16", "IVF32,Flat", "PCA16,IVF16,SQfp16", "auto", "lists"])
def test_masks_and_subsets(kind, keys, questions, lists):
    made = lists if kind == "lists" else segment(keys[:3000], Plan(kind, 0.9))
    n = len(made.ids)
    gone = made.ids[::3].copy()
    only = made.ids[: n // 2].copy()
    left = np.setdiff1d(only, gone)
    found = made.search(questions, 10, made.select(gone, only))[1]
    assert set(found[found > 0].tolist()) <= set(left.tolist())
    if kind != "PCA16,IVF16,SQfp16":
        assert recall(found, nearest(keys[:n], questions, 10, left)) >= 0.8


@pytest.mark.parametrize("kind", ["HNSW16", "IVF32,Flat", "PCA16,IVF16,SQfp16", "auto", "lists"])
def test_as_many_are_found_as_there_are(kind, keys, questions, lists):
    made = lists if kind == "lists" else segment(keys[:3000], Plan(kind, 0.5))
    everything = made.search(questions[:2], len(made.ids))[1]
    assert all(set(found.tolist()) == set(made.ids.tolist()) for found in everything)
    only = made.ids[::50].copy()
    some = made.search(questions[:2], len(only), made.select(NONE, only))[1]
    assert all(set(found.tolist()) == set(only.tolist()) for found in some)


@pytest.mark.parametrize("kind", ["IVF4096,SQ8", "IVF64,PQ8"])
def test_too_few_keys_for_a_kind_are_compared_exactly(kind, keys):
    made = segment(keys[:30], Plan(kind))
    assert (made.about.kind, made.about.plan_kind) == ("SQfp16", kind)
    assert made.search(keys[:5].astype(np.float32), 1)[1][:, 0].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("count", [1, 2, 11])
@pytest.mark.parametrize("kind", ["auto", "HNSW8", "IVF1,Flat"])
def test_very_few_keys(kind, count, keys):
    made = segment(keys[:count], Plan(kind))
    assert made.search(keys[:1].astype(np.float32), 5)[1][0, 0] == 1


@pytest.mark.parametrize("kind", ["Nonsense", "IVF,Flat", "", "IDMap,Flat", "PQ7"])
def test_a_kind_that_cannot_be_is_refused_with_a_reason(kind):
    with pytest.raises(Unsuitable) as caught:
        check(Plan(kind), D)
    assert repr(kind) in caught.value.what
    assert "\n" not in caught.value.what


@pytest.mark.parametrize("kind", ["PQ8", "PQ8x4fs,Refine(Flat)", "NSG16", "IVF16,RQ4x6", "LSH"])
def test_a_kind_that_could_not_leave_out_the_deleted_is_refused(kind):
    with pytest.raises(Unsuitable):
        check(Plan(kind), D)


@pytest.mark.parametrize("kind", ["IVF64,Flat", "lists"])
def test_a_few_that_are_scattered_are_found_as_surely(kind, keys, questions, lists):
    """Those in the lists that are searched without a mask would be a small part of them."""
    made = lists if kind == "lists" else segment(keys, Plan(kind, 0.95))
    only = made.ids[::25].copy()
    found = made.search(questions, 10, made.select(NONE, only))[1]
    assert recall(found, nearest(keys, questions, 10, only)) >= 0.92


def test_a_graph_counts_with_its_links(keys):
    blob, _ = build(stream(keys[:2000]), 2000, Plan("HNSW64"))
    assert 0.8 <= len(blob) / (2000 * (4 * D + kinds.links("HNSW64", D))) <= 1


@pytest.mark.parametrize("recall", [0, -1, 1.1, float("nan")])
def test_a_recall_is_a_share(recall):
    with pytest.raises(Unsuitable):
        check(Plan(recall=recall), D)


def test_a_blob_of_rubbish_is_damage(keys):
    blob, told = build(stream(keys[:50]), 50, Plan())
    ids = memoryview(np.arange(1, 51, dtype=np.uint64))
    for wrong in (b"", b"rubbish", bytes(blob)[:100], bytes(blob)[:-9]):
        with pytest.raises(Damaged, match="damaged"):
            Segment.view(ids, memoryview(wrong), told)
    with pytest.raises(Damaged):
        Segment.view(ids[:49], blob, told)


def test_recall_is_the_share_of_the_true_neighbours():
    truth = np.array([[5, 6], [7, 8]])
    assert recall_per_query(np.array([[5, 6], [7, 9]]), truth).tolist() == [1, 0.5]
    assert recall_per_query(np.array([[6, 5], [-1, -1]]), truth).tolist() == [1, 0]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 100, 9000])
def test_the_keys_to_tune_with_stand_at_the_end(count):
    ids = np.arange(1, count + 1, dtype=np.uint64)
    given = tuning_last(ids)
    assert sorted(given.tolist()) == ids.tolist()
    held = min(1024, count // 8)
    last = given[count - held :].astype(int)
    assert (np.diff(last) <= 2 * 8 + 1).all()
    assert (np.diff(given[: count - held].astype(int)) > 0).all()


@pytest.mark.parametrize("kind", ["HNSW8", "HNSW16_SQfp16", "IVF64,Flat"])
def test_questions_from_outside_find_as_much_as_is_promised(kind):
    """A graph leads from its own keys to their neighbours, and less surely from others."""
    keys, wanted = clustered(20_000, spread=1.0), 0.9
    ids = np.arange(1, len(keys) + 1, dtype=np.uint64)
    order = tuning_last(ids)
    blob, told = build(stream(keys[order.astype(int) - 1]), len(keys), Plan(kind, wanted))
    made = Segment.view(memoryview(order), blob, told)
    questions = clustered(500, seed=5, spread=1.0).astype(np.float32)
    found = made.search(questions, 10)[1]
    assert recall(found, nearest(keys, questions, 10)) >= wanted - 0.01
