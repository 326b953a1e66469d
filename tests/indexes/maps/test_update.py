"""The map of an index: learned once, extended by new photos, and never older than its encoder."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from light import light

from indexes import Index
from indexes.maps import embedding, stored, update
from indexes.store.place import MAP
from mocosearch.errors import StorageFailed

pytest.importorskip("openTSNE", reason="openTSNE is not installed")
COUNT = 60


def _report(share: float) -> None:
    assert 0 <= share <= 1


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
        Index, "among", lambda self, where: np.array(sorted(stored_keys), np.uint64)
    )
    monkeypatch.setattr(
        Index, "keys", lambda self, ids: np.stack([stored_keys[int(id)] for id in ids])
    )
    return stored_keys


def _places(found: stored.StoredMap) -> dict[int, tuple[float, float]]:
    return dict(zip(found.ids.tolist(), map(tuple, found.points.tolist()), strict=True))


def _ratio(found: stored.StoredMap) -> float:
    """The distance to other photos of the same cluster, per distance to all others."""
    places = _places(found)
    same, other = [], []
    for one, two in itertools.combinations(places, 2):
        distance = np.hypot(*np.subtract(places[one], places[two]))
        (same if one % 3 == two % 3 else other).append(distance)
    return float(np.mean(same) / np.mean(other))


def test_similar_photos_lie_together_and_the_map_is_stored(index: Index, keys: Any) -> None:
    found = update.update(index, _report)
    assert sorted(found.ids.tolist()) == sorted(keys)
    assert found.learned.all()
    assert _ratio(found) < 0.5
    again = stored.load(index.folder, index.encoder.card.fingerprint)
    assert again is not None
    assert (again.version, again.frame) == (found.version, found.frame)
    assert again.grid().levels == found.grid().levels


def test_new_photos_are_placed_among_the_others_which_stay(
    index: Index, keys: dict[int, np.ndarray]
) -> None:
    before = _places(update.update(index, _report))
    keys |= dict(zip(range(COUNT + 1, COUNT + 13), _clusters(12, seed=1), strict=True))
    for gone in (3, 5):
        del keys[gone]
    found = update.update(index, _report)
    after = _places(found)
    assert sorted(after) == sorted(keys)
    assert all(after[id] == before[id] for id in before if id in keys)
    assert found.learned.sum() == COUNT - 2
    assert _ratio(found) < 0.5


def test_a_map_of_few_of_the_photos_is_learned_again(
    index: Index, keys: dict[int, np.ndarray]
) -> None:
    update.update(index, _report)
    keys |= dict(zip(range(COUNT + 1, 3 * COUNT + 1), _clusters(2 * COUNT, seed=1), strict=True))
    assert update.update(index, _report).learned.all()


def test_a_large_map_is_learned_from_some_and_extended_by_the_others(
    index: Index, keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "MOST", 40)
    found = update.update(index, _report)
    assert (found.learned.sum(), len(found.ids)) == (40, COUNT)
    assert _ratio(found) < 0.5
    assert update.update(index, _report).version == found.version


@pytest.mark.parametrize("count", [0, 1, 2, 5, 10, 12])
def test_few_photos_have_a_map(index: Index, keys: dict[int, np.ndarray], count: int) -> None:
    for id in list(keys)[count:]:
        del keys[id]
    found = update.update(index, _report)
    assert len(found.grid()) == count
    assert np.isfinite(found.points).all()


def test_copies_have_a_map(index: Index, keys: dict[int, np.ndarray]) -> None:
    for id in keys:
        keys[id] = keys[1]
    found = update.update(index, _report)
    assert np.isfinite(found.points).all()
    grid = found.grid()
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
    found = update.update(index, _report)
    assert stored.load(index.folder, light(1).card.fingerprint) is None
    file = index.folder / MAP
    whole = file.read_bytes()
    for damage in (b"", whole[:300], b"x" * 500, whole[: len(whole) // 2]):
        file.write_bytes(damage)
        assert stored.load(index.folder, fingerprint) is None
    stored.save(index.folder, dataclasses.replace(found, points=found.points[1:]))
    assert stored.load(index.folder, fingerprint) is None
    file.unlink()
    assert stored.load(index.folder, fingerprint) is None
    assert update.update(index, _report).version == found.version


def test_a_full_disk_is_one_clear_error_and_leaves_the_map_before(
    index: Index, keys: dict[int, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = update.update(index, _report)
    del keys[1]

    def full(*arguments: Any, **arrays: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageFailed, match="cannot store the map"):
        update.update(index, _report)
    again = stored.load(index.folder, index.encoder.card.fingerprint)
    assert again is not None
    assert again.version == found.version
    assert [one.name for one in index.folder.iterdir() if one.name.startswith(MAP)] == [MAP]


def test_an_index_with_a_map_can_be_removed(index: Index, keys: Any) -> None:
    from indexes.store.place import check_place, remove

    update.update(index, _report)
    index.close()
    remove(index.folder)
    assert not index.folder.exists()
    check_place(index.folder)
