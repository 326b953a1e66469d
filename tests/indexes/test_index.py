from dataclasses import replace

import numpy as np
import pytest

from indexes import Index
from indexes.search import kinds, merging, segments
from indexes.search.ranking import FIRST, rerank
from indexes.store.records import id_key
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged, Mismatch, NotFound, StorageFailed, Unsuitable
from mocosearch.photos import decode

D = 32


@pytest.fixture
def named(encoder) -> Encoder:
    """An encoder with keys of D numbers, whose graph is never run."""
    return Encoder(replace(encoder.card, dimension=D), b"graph", b"weights")


@pytest.fixture
def index(named, tmp_path):
    with Index.create(tmp_path / "index", named) as opened:
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


def test_an_empty_index_answers_nothing(index):
    assert index.query(units(2), 5) == [[], []]
    assert index.query(units(0), 5) == []


def test_more_asked_for_than_there_is(index):
    put(index, 1, units(3))
    assert [len(found) for found in index.query(units(2, 1), 10)] == [3, 3]


@pytest.mark.parametrize("k", [1, 4, 60])
def test_answers_are_those_of_brute_force(index, k):
    keys = units(60)
    for first in range(0, 60, 20):
        put(index, first + 1, keys[first : first + 20])
    by_id = {i + 1: key for i, key in enumerate(keys)}
    questions = units(7, 1)
    for query, found in zip(questions, index.query(questions, k), strict=True):
        assert [m.id for m in found] == brute(by_id, query, k)
        for m in found:
            assert m.score == pytest.approx(float(query @ by_id[m.id]), abs=2e-3)
        assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)


@pytest.mark.parametrize("k", [1, 5, 150, 250])
def test_a_search_ranks_the_first_again_and_leaves_the_rest(index, k):
    keys = np.random.default_rng(0).standard_normal((200, D)).astype(np.float32) + 0.3
    keys /= np.linalg.norm(keys, axis=1, keepdims=True)
    put(index, 1, keys)
    question = keys[7:8]
    nearest = index.query(question, 200)[0]
    found = index.search(question, k)
    first = [match.id for match in nearest[:FIRST]]
    order = rerank(question, index.keys(first))
    wanted = [first[row] for row in order] + [match.id for match in nearest[FIRST:]]
    assert [match.id for match in found] == wanted[:k]
    scores = {match.id: match.score for match in nearest}
    assert all(match.score == pytest.approx(scores[match.id]) for match in found)
    assert found[0].id == 8
    assert wanted != [match.id for match in nearest]


def test_a_search_with_a_least_score_finds_as_many_as_there_are(index):
    put(index, 1, units(60))
    question = units(1, 1)
    scores = [match.score for match in index.query(question, 60)[0]]
    least = scores[5] - 1e-6
    found = index.search(question, 10, min_score=least)
    assert sorted((match.score for match in found), reverse=True) == pytest.approx(scores[:6])
    assert len(index.search(question, 4, min_score=least)) == 4
    assert index.search(question, 4, min_score=1.1) == []


def test_each_photo_counts_by_the_look_that_it_is_nearest_to(index):
    assert index.search(units(2), 5) == []
    put(index, 1, units(30))
    looks = units(3, 1)
    best = {}
    for match in (match for found in index.query(looks, 30) for match in found):
        best[match.id] = max(best.get(match.id, -1.0), match.score)
    found = {match.id: match.score for match in index.search(looks, 30)}
    assert found == pytest.approx(best)


def test_deleted_keys_are_masked_and_then_gone(index):
    keys = units(40)
    put(index, 1, keys[:20])
    put(index, 21, keys[20:])
    remove(index, 5, 21, 40)
    left = {i + 1: key for i, key in enumerate(keys) if i + 1 not in (5, 21, 40)}
    for merged in (False, True):
        if merged:
            assert merging.merge(index.store, everything=True)
            index.refresh()
        for query, found in zip(keys, index.query(keys, 40), strict=True):
            assert [m.id for m in found] == brute(left, query, 40)
    assert index.info()["segments"] == 1
    assert index.txn.count("deleted") == 0


def test_a_segment_of_deleted_keys_alone(index):
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
    for query, found in zip(keys, index.query(keys, 5), strict=True):
        assert [m.id for m in found] == brute(by_id, query, 5)


def test_few_segments_and_few_deletions_are_left_alone(index):
    put(index, 1, units(40))
    remove(index, 7)
    assert not merging.merge(index.store)
    remove(index, 8, 9, 10, 11)
    assert merging.merge(index.store)


def test_masked_photos_whose_content_may_turn_up_again_wear_nothing_out(index):
    """As all are for a while, where a program rewrites every file: a merge would keep them."""
    put(index, 1, units(40))
    index.store.write(lambda txn: [txn.put("deleted", id_key(id), b"") for id in range(1, 30)])
    assert not merging.merge(index.store)


def test_a_recall_of_nothing_is_refused(index):
    put(index, 1, units(3))
    with pytest.raises(Unsuitable):
        index.configure(recall=0.0)
    assert index.info()["recall_asked"] == kinds.Plan.recall


def test_a_merge_parts_what_is_too_much_for_one_segment(index, monkeypatch):
    monkeypatch.setattr(merging, "MOST_BYTES", 4 * 4 * D)
    put(index, 1, units(10))
    merging.merge(index.store, everything=True)
    index.refresh()
    assert index.info()["segments"] == 3
    assert [found[0].id for found in index.query(units(10), 1)] == list(range(1, 11))


def test_a_merge_that_ends_half_way_shows_nothing_and_leaves_nothing(index, monkeypatch):
    monkeypatch.setattr(merging, "MOST_BYTES", 4 * 4 * D)
    put(index, 1, units(10))
    before, hide = index.info()["segment_list"], segments.put_hidden

    def full(txn, ids, blob, told):
        if ids[0] > 5:
            raise StorageFailed("the disk is full", "make room")
        hide(txn, ids, blob, told)

    monkeypatch.setattr(segments, "put_hidden", full)
    with pytest.raises(StorageFailed):
        merging.merge(index.store, everything=True)
    index.refresh()
    assert segments.hidden(index.txn)
    assert index.info()["segment_list"] == before
    assert [found[0].id for found in index.query(units(10), 1)] == list(range(1, 11))
    # More photos may come before the next merge.
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
        index.search(np.zeros(shape, np.float32))


def test_results_outlive_a_refresh(index):
    put(index, 1, units(3))
    (found,) = index.query(units(1), 3)
    index.refresh()
    assert found[0].record.format == "PNG"


def test_a_snapshot_until_refresh(index):
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


def test_a_record_that_is_not_there(index):
    with pytest.raises(Damaged, match="id 77"):
        index.record(77)


def test_a_missing_index_lists_those_that_are_there(home, named):
    Index.create("summer", named).close()
    assert Index.exists("summer")
    assert not Index.exists("winter")
    with pytest.raises(NotFound) as caught:
        Index.open("winter")
    assert caught.value.hint == "there are: summer"
    assert not (home / "indexes" / "winter").exists()


def test_another_encoder_is_refused(tmp_path, named):
    Index.create(tmp_path / "index", named).close()
    other = Encoder(replace(named.card, fingerprint="other"), b"graph", b"weights")
    with pytest.raises(Mismatch, match="another encoder"):
        Index.create(tmp_path / "index", other)
    Index.create(tmp_path / "index", named).close()
    with Index.create(tmp_path / "index", None) as index:
        assert index.encoder.fingerprint == named.fingerprint


def test_an_index_without_an_encoder(tmp_path):
    with (
        Index.create(tmp_path / "index", None) as index,
        pytest.raises(Damaged, match="no encoder"),
    ):
        _ = index.encoder


def test_a_copied_folder_answers_on_its_own(fill, encoder, tmp_path):
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
        told = index.info()
    assert (told["images"], told["keys"], told["skipped"], told["not_pictures"]) == (5, 4, 1, 1)
    assert told["roots"] == [str(tmp_path / "photos")]
    assert (told["dimension"], told["encoder"]) == (encoder.dimension, encoder.fingerprint)
    assert told["segments"] == 1
    assert told["bytes"] == (tmp_path / "index" / "data.mdb").stat().st_size
