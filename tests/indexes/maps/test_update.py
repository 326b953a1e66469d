"""The map of an index: learned once, extended by new photos, and never older than its encoder."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from light import light

from indexes import Index
from indexes.maps import embedding, storage, update
from indexes.search.snapshot import Snapshot
from indexes.store.place import MAP
from mocosearch.errors import StorageFailed

pytest.importorskip("openTSNE", reason="openTSNE is not installed")
COUNT = 60


def _report(share: float) -> None:
    assert 0 <= share <= 1


def _update(index: Index) -> storage.CollectionMap:
    fingerprint = index.encoder.card.fingerprint
    return update.update(index.snapshot, index.folder, fingerprint, _report)


def _clusters(count: int, seed: int = 0) -> np.ndarray:
    """Keys of three clusters, by turns."""
    rng = np.random.default_rng(seed)
    centres = np.eye(24, dtype=np.float32)[:3]
    keys = centres[np.arange(count) % 3] + 0.1 * rng.standard_normal((count, 24))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def keys(index: Index, monkeypatch: pytest.MonkeyPatch) -> dict[int, np.ndarray]:
    """The keys of the index, by id; no photo is read."""
    stored_keys = dict(zip(range(1, COUNT + 1), _clusters(COUNT), strict=True))
    monkeypatch.setattr(
        Snapshot, "among", lambda self, where: np.array(sorted(stored_keys), np.uint64)
    )
    monkeypatch.setattr(
        Snapshot, "keys", lambda self, ids: np.stack([stored_keys[int(id)] for id in ids])
    )
    return stored_keys


def _places(collection_map: storage.CollectionMap) -> dict[int, tuple[float, float]]:
    return dict(
        zip(collection_map.ids.tolist(), map(tuple, collection_map.points.tolist()), strict=True)
    )


def _ratio(collection_map: storage.CollectionMap) -> float:
    """The distance to other photos of the same cluster, per distance to all others."""
    places = _places(collection_map)
    same, other = [], []
    for one, two in itertools.combinations(places, 2):
        distance = np.hypot(*np.subtract(places[one], places[two]))
        (same if one % 3 == two % 3 else other).append(distance)
    return float(np.mean(same) / np.mean(other))


def test_similar_photos_lie_together_and_the_map_is_stored(index: Index, keys: Any) -> None:
    collection_map = _update(index)
    assert sorted(collection_map.ids.tolist()) == sorted(keys)
    assert collection_map.reference.all()
    assert _ratio(collection_map) < 0.5
    again = storage.load(index.folder, index.encoder.card.fingerprint)
    assert again is not None
    assert (again.version, again.frame) == (collection_map.version, collection_map.frame)
    assert again.grid().levels == collection_map.grid().levels


def test_new_photos_are_placed_among_the_others_which_stay(
    index: Index, keys: dict[int, np.ndarray]
) -> None:
    before = _places(_update(index))
    keys |= dict(zip(range(COUNT + 1, COUNT + 13), _clusters(12, seed=1), strict=True))
    for gone in (3, 5):
        del keys[gone]
    collection_map = _update(index)
    after = _places(collection_map)
    assert sorted(after) == sorted(keys)
    assert all(after[id] == before[id] for id in before if id in keys)
    assert collection_map.reference.sum() == COUNT - 2
    assert _ratio(collection_map) < 0.5


def test_a_map_of_few_of_the_photos_is_learned_again(
    index: Index, keys: dict[int, np.ndarray]
) -> None:
    _update(index)
    keys |= dict(zip(range(COUNT + 1, 3 * COUNT + 1), _clusters(2 * COUNT, seed=1), strict=True))
    assert _update(index).reference.all()


def test_a_large_map_is_learned_from_some_and_extended_by_the_others(
    index: Index, keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "MOST", 40)
    collection_map = _update(index)
    assert (collection_map.reference.sum(), len(collection_map.ids)) == (40, COUNT)
    assert _ratio(collection_map) < 0.5
    assert _update(index).version == collection_map.version


@pytest.mark.parametrize("count", [0, 1, 2, 5, 10, 12])
def test_few_photos_have_a_map(index: Index, keys: dict[int, np.ndarray], count: int) -> None:
    for id in list(keys)[count:]:
        del keys[id]
    collection_map = _update(index)
    assert len(collection_map.grid()) == count
    assert np.isfinite(collection_map.points).all()


def test_copies_have_a_map(index: Index, keys: dict[int, np.ndarray]) -> None:
    for id in keys:
        keys[id] = keys[1]
    collection_map = _update(index)
    assert np.isfinite(collection_map.points).all()
    grid = collection_map.grid()
    assert sum(len(list(grid.tile(1, *place))) for place in itertools.product((0, 1), (0, 1))) > 0


@pytest.mark.parametrize("exact_below", [0, 10**6])
def test_the_neighbours_are_those_of_a_plain_loop(
    exact_below: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding, "EXACT_BELOW", exact_below)
    monkeypatch.setattr(embedding, "PROBES", 10**4)
    monkeypatch.setattr(embedding, "LISTS_PER_ROOT", 0.5)
    keys = _clusters(200)
    rows, distances = embedding._Neighbours(keys, 5).build()
    true = np.linalg.norm(keys[:, None] - keys[None], axis=2)
    np.fill_diagonal(true, np.inf)
    assert (rows == np.argsort(true, axis=1)[:, :5]).mean() > 0.99
    assert np.allclose(distances, np.sort(true, axis=1)[:, :5], atol=1e-3)


def test_a_map_of_another_encoder_or_a_damaged_one_is_none(index: Index, keys: Any) -> None:
    fingerprint = index.encoder.card.fingerprint
    collection_map = _update(index)
    assert storage.load(index.folder, light(1).card.fingerprint) is None
    file = index.folder / MAP
    whole = file.read_bytes()
    for damage in (b"", whole[:300], b"x" * 500, whole[: len(whole) // 2]):
        file.write_bytes(damage)
        assert storage.load(index.folder, fingerprint) is None
    storage.save(
        index.folder, dataclasses.replace(collection_map, points=collection_map.points[1:])
    )
    assert storage.load(index.folder, fingerprint) is None
    file.unlink()
    assert storage.load(index.folder, fingerprint) is None
    assert _update(index).version == collection_map.version


def test_a_full_disk_is_one_clear_error_and_leaves_the_map_before(
    index: Index, keys: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection_map = _update(index)
    del keys[1]

    def full(*arguments: Any, **arrays: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageFailed, match="cannot store the map"):
        _update(index)
    again = storage.load(index.folder, index.encoder.card.fingerprint)
    assert again is not None
    assert again.version == collection_map.version
    assert [one.name for one in index.folder.iterdir() if one.name.startswith(MAP)] == [MAP]


def test_an_index_with_a_map_can_be_removed(index: Index, keys: Any) -> None:
    from indexes.store.place import check_place, remove

    _update(index)
    index.close()
    remove(index.folder)
    assert not index.folder.exists()
    check_place(index.folder)
