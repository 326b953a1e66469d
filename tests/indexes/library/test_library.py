import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from libraries import keys_of, library_of, visible

from indexes import Index, Where, open_reader
from indexes.library.layout import shard_folder
from indexes.shards import Library
from indexes.store.place import DATA
from mocosearch.errors import Damaged, NotFound, Unsuitable

COUNT = 240


@pytest.fixture(scope="module")
def keys(encoder) -> np.ndarray:
    return keys_of(COUNT, encoder.dimension)


@pytest.fixture(scope="module")
def names() -> list[Path]:
    return [Path(f"/photos/{number % 3}/{number:04}.jpg") for number in range(COUNT)]


@pytest.fixture(scope="module")
def single(encoder, keys, names, tmp_path_factory):
    with Index.create(tmp_path_factory.mktemp("single") / "index", encoder) as index:
        index.add(names, keys)
        yield index


def split(names, keys, numbers, count):
    rows = [np.flatnonzero(numbers == number) for number in range(count)]
    return [([names[row] for row in some], keys[some]) for some in rows]


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_library_answers_as_one_index_with_the_same_keys(
    encoder, keys, names, single, tmp_path_factory, data
):
    count = data.draw(st.integers(1, 5))
    numbers = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, count, COUNT)
    folder = library_of(
        tmp_path_factory.mktemp("library"), encoder, split(names, keys, numbers, count)
    )
    k = data.draw(st.sampled_from([1, 10, 150, COUNT]))
    where = data.draw(st.sampled_from([None, Where(under=("/photos/1",)), Where(min_side=1)]))
    fold = data.draw(st.booleans())
    rows = data.draw(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=2))
    with Library.open(folder) as library:
        assert len(library) == len(single)
        answers = []
        for reader in (single, library):
            question = reader.question(keys[rows])
            answers.append(visible(reader.answer(question, k, where=where, fold=fold)))
    assert answers[0][0] == answers[1][0]
    assert answers[0][1] == pytest.approx(answers[1][1], rel=1e-3, abs=1e-4)


@pytest.fixture
def folder(encoder, keys, names, tmp_path):
    numbers = np.arange(COUNT) % 4
    return library_of(tmp_path / "library", encoder, split(names, keys, numbers, 4))


def test_reading_by_id_and_by_path(folder, keys, names):
    with Library.open(folder) as library:
        ids = library.among(Where())
        assert (np.diff(ids.astype(np.int64)) > 0).all()
        by_path = {
            library.record(int(id)).paths[0]: key
            for id, key in zip(ids, library.keys(ids), strict=True)
        }
        for name, key in zip(names, keys, strict=True):
            assert np.allclose(by_path[str(name)], key, atol=1e-3)
        some = ids[[5, 200, 7]]
        assert np.array_equal(library.keys(some), np.stack([library.keys([id])[0] for id in some]))
        entry = library.entry(str(names[6]))
        assert library.record(entry.id).paths == [str(names[6])]
        assert library.snapshot.id_of(library.record(entry.id).digest) == entry.id
        assert library.facts(str(names[6]))["id"] == entry.id
        assert library.info()["keys"] == COUNT
        with pytest.raises(Damaged):
            library.record(9 << 40)
        assert not library.snapshot.has(9 << 40)


def test_folders_of_some_shards_only(encoder, keys, tmp_path):
    parts = [
        ([Path(f"/{name}/{n}.jpg") for n in range(60)], keys[at : at + 60])
        for name, at in (("a", 0), ("b", 60))
    ]
    with Library.open(library_of(tmp_path, encoder, parts)) as library:
        assert len(library.among(Where(under=("/a",)))) == 60
        assert len(library.among(Where(under=("/a", "/b")))) == 120
        assert len(library.among(Where(not_under=("/b",)))) == 60
        with pytest.raises(NotFound):
            library.among(Where(under=("/c",)))
        with pytest.raises(Unsuitable):
            library.among(Where(format="nonsense"))


def test_a_missing_shard_is_named_and_the_others_answer(folder, keys):
    shutil.rmtree(shard_folder(folder, "00002"))
    with Library.open(folder) as library:
        assert library.unavailable == {"00002": "it is not built yet"}
        answer = library.answer(library.question(keys[1]), 5)
        assert answer[0].record.paths == ["/photos/1/0001.jpg"]
        assert len(library) == COUNT * 3 // 4


def test_a_damaged_shard_is_named_and_the_others_answer(folder, keys):
    path = shard_folder(folder, "00001") / DATA
    path.write_bytes(path.read_bytes()[:5000])
    with Library.open(folder) as library:
        assert "damaged" in library.unavailable["00001"]
        assert len(library.answer(library.question(keys[0]), 5)) == 5


def test_damage_that_a_search_meets_leaves_the_other_shards(folder, keys):
    with Index.open(shard_folder(folder, "00003"), writable=True) as index:
        number = index.txn.items("segments")
        key = next(bytes(key) for key, _ in number if bytes(key).endswith(b"faiss"))
        index.refresh()
        index.store.write(lambda txn: txn.put("segments", key, b"nonsense" * 100))
    with Library.open(folder) as library:
        assert not library.unavailable
        answer = library.answer(library.question(keys[0]), 300, fold=False)
        assert list(library.unavailable) == ["00003"]
        assert len(answer) == COUNT * 3 // 4


def test_without_any_shard_there_is_an_error(folder):
    shutil.rmtree(folder / "shards")
    with pytest.raises(Damaged, match="no shard"):
        Library.open(folder)


def test_a_shard_of_another_encoder_is_left_out(folder, tmp_path, keys, names):
    from light import light

    library_of(tmp_path / "other", light(3), [([names[0]], keys[:1])])
    shutil.rmtree(shard_folder(folder, "00000"))
    shutil.copytree(shard_folder(tmp_path / "other", "00000"), shard_folder(folder, "00000"))
    with Library.open(folder) as library:
        assert "another encoder" in library.unavailable["00000"]


def test_a_name_opens_an_index_or_a_library(folder):
    with open_reader(folder) as library:
        assert isinstance(library, Library)
    with open_reader(shard_folder(folder, "00000")) as index:
        assert isinstance(index, Index)


def test_a_shard_that_appears_is_read_after_a_refresh(folder, tmp_path):
    hidden = shard_folder(folder, "00001").rename(tmp_path / "hidden")
    with Library.open(folder) as library:
        before = library.newest_version
        assert before == library.newest_version
        hidden.rename(shard_folder(folder, "00001"))
        assert library.newest_version != before
        library.refresh_all()
        assert (len(library), dict(library.unavailable)) == (COUNT, {})
        assert library.newest_version == library.snapshot.version


def test_duplicates_across_shards_and_what_is_ignored(encoder, fill, tmp_path):
    files = fill(tmp_path / "photos", range(6))
    copy = tmp_path / "photos" / "copy.jpg"
    shutil.copy(files[0], copy)
    folder = library_of(tmp_path / "library", encoder, [([], None), ([], None)])
    for number, some in enumerate(([*files[:3]], [*files[3:], copy])):
        with Index.open(shard_folder(folder, f"{number:05}"), writable=True) as index:
            index.add(some)
    with open_reader(folder, writable=True) as library:
        groups = library.duplicates()
        assert [{m.path for m in group.members} for group in groups] == [{str(files[0]), str(copy)}]
        library.ignore([groups[0].name], groups)
        assert library.duplicates() == []
        answer = library.search(files[0], 6)
        paths = {answer[0].record.paths[0], *(path for _, path in answer[0].others)}
        assert paths == {str(files[0]), str(copy)}
    with open_reader(folder) as library:
        assert library.duplicates() == []
