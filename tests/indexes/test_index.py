from dataclasses import replace

import numpy as np
import pytest

from indexes import Index, Question
from indexes.search import kinds, merging, segments
from indexes.search.ranking import FIRST, rerank
from indexes.store.records import id_key
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged, Mismatch, NotFound, StorageFailed, Unsuitable
from mocosearch.photos import decode

D = 32


@pytest.fixture
def small_encoder(encoder) -> Encoder:
    """An encoder with keys of D numbers, whose graph is never run."""
    return Encoder(replace(encoder.card, dimension=D), b"graph", b"weights")


@pytest.fixture
def index(small_encoder, tmp_path):
    with Index.create(tmp_path / "index", small_encoder) as opened:
        yield opened


def units(n: int, seed: int = 0) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, D))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def put(index: Index, first: int, keys: np.ndarray) -> None:
    """Keys as a segment, with bare records."""
    ids = list(range(first, first + len(keys)))
    record = b'{"width":1,"height":1,"format":"PNG","taken":null,"size":1,"digest":"","paths":[]}'

    def change(txn):
        for id, key in zip(ids, keys.astype(np.float16), strict=True):
            txn.put("vectors", id_key(id), key.tobytes())
            txn.put("images", id_key(id), record)
        segments.append(txn, ids, keys.astype(np.float16))

    index.store.write(change)
    index.refresh()


def remove(index: Index, *ids: int) -> None:
    def change(txn):
        for id in ids:
            txn.delete("vectors", id_key(id))
            txn.delete("images", id_key(id))
            txn.put("deleted", id_key(id), b"")

    index.store.write(change)
    index.refresh()


def brute(keys: dict[int, np.ndarray], query: np.ndarray, k: int) -> list[int]:
    scores = {id: float(query @ key.astype(np.float16).astype(float)) for id, key in keys.items()}
    return sorted(scores, key=lambda id: -scores[id])[:k]


def test_an_empty_index_has_no_matches(index):
    assert index.query(units(2), 5) == [[], []]
    assert index.query(units(0), 5) == []


def test_fewer_photos_than_wanted(index):
    put(index, 1, units(3))
    assert [len(matches) for matches in index.query(units(2, 1), 10)] == [3, 3]


@pytest.mark.parametrize("k", [1, 4, 60])
def test_matches_are_those_of_brute_force(index, k):
    keys = units(60)
    for first in range(0, 60, 20):
        put(index, first + 1, keys[first : first + 20])
    by_id = {i + 1: key for i, key in enumerate(keys)}
    queries = units(7, 1)
    for query, matches in zip(queries, index.query(queries, k), strict=True):
        assert [m.id for m in matches] == brute(by_id, query, k)
        for m in matches:
            assert m.score == pytest.approx(float(query @ by_id[m.id]), abs=2e-3)
        assert [m.score for m in matches] == sorted((m.score for m in matches), reverse=True)


@pytest.mark.parametrize("k", [1, 5, 150, 250])
def test_a_search_reranks_the_first_results_only(index, k):
    keys = np.random.default_rng(0).standard_normal((200, D)).astype(np.float32) + 0.3
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    put(index, 1, keys)
    query = keys[7:8]
    nearest = index.query(query, 200)[0]
    answer = index.search(query, k)
    first = [match.id for match in nearest[:FIRST]]
    order = rerank(query, index.keys(first))
    expected = [first[row] for row in order] + [match.id for match in nearest[FIRST:]]
    assert [result.id for result in answer] == expected[:k]
    scores = {match.id: match.score for match in nearest}
    assert all(result.score == pytest.approx(scores[result.id]) for result in answer)
    assert answer[0].id == 8
    assert expected != [match.id for match in nearest]


def test_a_search_with_a_lowest_score(index):
    put(index, 1, units(60))
    query = units(1, 1)
    scores = [match.score for match in index.query(query, 60)[0]]
    lowest = scores[5] - 1e-6
    answer = index.search(query, 10, min_score=lowest)
    assert sorted((result.score for result in answer), reverse=True) == pytest.approx(scores[:6])
    assert len(index.search(query, 4, min_score=lowest)) == 4
    assert len(index.search(query, 4, min_score=1.1)) == 0


def test_each_photo_counts_by_its_best_score_with_any_key_of_the_question(index):
    views = Question(units(3, 1))
    assert len(index.answer(views, 5)) == 0
    put(index, 1, units(30))
    best = {}
    for match in (match for matches in index.query(views.keys, 30) for match in matches):
        best[match.id] = max(best.get(match.id, -1.0), match.score)
    assert {result.id: result.score for result in index.answer(views, 30)} == pytest.approx(best)


def test_deleted_keys_are_masked_and_a_merge_removes_them(index):
    keys = units(40)
    put(index, 1, keys[:20])
    put(index, 21, keys[20:])
    remove(index, 5, 21, 40)
    left = {i + 1: key for i, key in enumerate(keys) if i + 1 not in (5, 21, 40)}
    for merged in (False, True):
        if merged:
            assert merging.merge(index.store, everything=True)
            index.refresh()
        for query, matches in zip(keys, index.query(keys, 40), strict=True):
            assert [m.id for m in matches] == brute(left, query, 40)
    assert index.info()["segments"] == 1
    assert index.txn.count("deleted") == 0


def test_a_segment_of_deleted_keys_only(index):
    put(index, 1, units(3))
    put(index, 4, units(3, 1))
    remove(index, 1, 2, 3)
    assert {m.id for m in index.query(units(1, 2), 6)[0]} == {4, 5, 6}
    remove(index, 4, 5, 6)
    assert index.query(units(1, 2), 6) == [[]]


def test_many_segments_merge_into_few(index):
    keys = units(30)
    for i, key in enumerate(keys):
        put(index, i + 1, key[None])
        merging.merge(index.store)
        index.refresh()
        assert index.info()["segments"] <= merging.MOST_SEGMENTS
        assert index.info()["keys"] == i + 1
    by_id = {i + 1: key for i, key in enumerate(keys)}
    for query, matches in zip(keys, index.query(keys, 5), strict=True):
        assert [m.id for m in matches] == brute(by_id, query, 5)


def test_few_segments_and_few_deletions_are_not_merged(index):
    put(index, 1, units(40))
    remove(index, 7)
    assert not merging.merge(index.store)
    remove(index, 8, 9, 10, 11)
    assert merging.merge(index.store)


def test_masked_photos_that_are_still_stored_cause_no_merge(index):
    """A program that rewrites every file masks all photos for a while; a merge would keep them."""
    put(index, 1, units(40))
    index.store.write(lambda txn: [txn.put("deleted", id_key(id), b"") for id in range(1, 30)])
    assert not merging.merge(index.store)


def test_a_recall_of_zero_is_invalid(index):
    put(index, 1, units(3))
    with pytest.raises(Unsuitable):
        index.configure(recall=0.0)
    assert index.info()["recall_asked"] == kinds.Plan.recall


def test_a_merge_splits_what_is_too_large_for_one_segment(index, monkeypatch):
    monkeypatch.setattr(merging, "MOST_BYTES", 4 * 4 * D)
    put(index, 1, units(10))
    merging.merge(index.store, everything=True)
    index.refresh()
    assert index.info()["segments"] == 3
    assert [matches[0].id for matches in index.query(units(10), 1)] == list(range(1, 11))


def test_a_merge_that_fails_half_way_changes_nothing(index, monkeypatch):
    monkeypatch.setattr(merging, "MOST_BYTES", 4 * 4 * D)
    put(index, 1, units(10))
    before, hide = index.info()["segment_list"], segments.put_hidden

    def full(txn, ids, blob, about):
        if ids[0] > 5:
            raise StorageFailed("the disk is full", "free some disk space")
        hide(txn, ids, blob, about)

    monkeypatch.setattr(segments, "put_hidden", full)
    with pytest.raises(StorageFailed):
        merging.merge(index.store, everything=True)
    index.refresh()
    assert segments.hidden(index.txn)
    assert index.info()["segment_list"] == before
    assert [matches[0].id for matches in index.query(units(10), 1)] == list(range(1, 11))
    # More photos may be added before the next merge.
    put(index, 11, units(1, 1))
    monkeypatch.setattr(segments, "put_hidden", hide)
    assert not merging.merge(index.store)
    index.refresh()
    assert not segments.hidden(index.txn)
    assert len({bytes(key)[:4] for key, _ in index.txn.items("segments")}) == 2
    assert merging.merge(index.store, everything=True)
    index.refresh()
    assert [part["keys"] for part in index.info()["segment_list"]] == [4, 4, 3]


@pytest.mark.parametrize("shape", [(1, D + 1), (D,), (1, 1, D)])
def test_keys_of_another_shape(index, shape):
    with pytest.raises(Mismatch, match="dimension 32"):
        index.query(np.zeros(shape, np.float32))
    with pytest.raises(Mismatch, match="dimension 32"):
        index.answer(Question(np.zeros(shape, np.float32)))


def test_results_outlive_a_refresh(index):
    put(index, 1, units(3))
    (matches,) = index.query(units(1), 3)
    index.refresh()
    assert matches[0].record.format == "PNG"


def test_a_snapshot_stays_until_refresh(index):
    put(index, 1, units(1))
    assert len(index.query(units(1), 9)[0]) == 1
    record = bytes(index.txn.get("images", id_key(1)))

    def change(txn):
        txn.put("images", id_key(2), record)
        segments.append(txn, [2], units(1, 1).astype(np.float16))

    index.store.write(change)
    assert len(index.query(units(1), 9)[0]) == 1
    index.refresh()
    assert len(index.query(units(1), 9)[0]) == 2


def test_a_missing_record(index):
    with pytest.raises(Damaged, match="id 77"):
        index.record(77)


def test_a_missing_index_lists_the_others(home, small_encoder):
    Index.create("summer", small_encoder).close()
    assert Index.exists("summer")
    assert not Index.exists("winter")
    with pytest.raises(NotFound) as caught:
        Index.open("winter")
    assert caught.value.hint == "there are: summer"
    assert not (home / "indexes" / "winter").exists()


def test_another_encoder_does_not_fit(tmp_path, small_encoder):
    Index.create(tmp_path / "index", small_encoder).close()
    other = Encoder(replace(small_encoder.card, fingerprint="other"), b"graph", b"weights")
    with pytest.raises(Mismatch, match="another encoder"):
        Index.create(tmp_path / "index", other)
    Index.create(tmp_path / "index", small_encoder).close()
    with Index.create(tmp_path / "index", None) as index:
        assert index.encoder.fingerprint == small_encoder.fingerprint


def test_an_index_without_an_encoder(tmp_path):
    with (
        Index.create(tmp_path / "index", None) as index,
        pytest.raises(Damaged, match="no encoder"),
    ):
        _ = index.encoder


def test_a_moved_folder_is_searched_without_anything_else(fill, encoder, tmp_path):
    files = fill(tmp_path / "photos", range(4))
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path / "photos"])
    (tmp_path / "index").rename(tmp_path / "elsewhere")
    for file in (tmp_path / "elsewhere").iterdir():
        if file.name != "data.mdb":
            file.unlink()
    with Index.open(tmp_path / "elsewhere") as index:
        own = index.encoder
        pixels = decode(files[2].read_bytes(), own.side).pixels
        ((best,),) = index.query(own.encode(pixels[None]), 1)
        assert best.record.paths == [str(files[2])]
        assert best.score >= 0.98


def test_info(fill, encoder, tmp_path):
    files = fill(tmp_path / "photos", range(4))
    (tmp_path / "photos" / "copy.jpg").write_bytes(files[0].read_bytes())
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "photos" / "notes.txt").write_text("words")
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path / "photos"])
        info = index.info()
        assert index.folder == tmp_path / "index"
    assert (info["images"], info["keys"], info["skipped"], info["not_pictures"]) == (5, 4, 1, 1)
    assert info["roots"] == [str(tmp_path / "photos")]
    assert (info["dimension"], info["encoder"]) == (encoder.dimension, encoder.fingerprint)
    assert info["segments"] == 1
    assert info["bytes"] == (tmp_path / "index" / "data.mdb").stat().st_size
