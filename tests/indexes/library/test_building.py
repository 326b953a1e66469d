import os
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from libraries import visible
from light import read_in_process

from indexes import Index, Where
from indexes.library import planning
from indexes.library.build import build_shard, building_folder
from indexes.library.layout import BLOCK, load_layout, manifest_path, shard_folder
from indexes.library.manifest import read_manifest
from indexes.library.merge import merge_shards
from indexes.library.planning import Request, assign, plan
from indexes.shards import Library
from indexes.sync import embed
from mocosearch.errors import NoPhotos, NotFound, Unsuitable

pytest.importorskip("pyarrow")
PHOTOS = 30


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(embed, "read_photos", read_in_process)
    monkeypatch.setattr(planning, "read_photos", read_in_process)


@pytest.fixture
def files(fill, photos):
    return fill(photos, range(PHOTOS))


@pytest.fixture
def folder(tmp_path, files, photos, encoder):
    plan(tmp_path / "library", Request([photos], 3), encoder)
    return tmp_path / "library"


def paths_in(answer):
    return {path for best, others, _ in answer[0] for path in (best, *others)}


def build_all(folder):
    return {s.name: build_shard(folder, s.name) for s in load_layout(folder).shards}


def test_a_built_library_answers_as_an_index_of_the_same_folder(
    folder, files, photos, encoder, tmp_path
):
    os.rename(files[0], os.fsencode(photos) + b"/caf\xe9.jpg")
    (photos / "note.txt").write_text("no picture")
    shutil.rmtree(folder)
    report = plan(folder, Request([photos], 3), encoder)
    assert (report.new, report.changed, len(report.shards)) == (PHOTOS + 1, 0, 3)
    counts = build_all(folder)
    assert sum(count.embedded for count in counts.values()) == PHOTOS
    with Index.create(tmp_path / "single", encoder) as single, Library.open(folder) as library:
        single.sync([photos])
        assert len(library) == len(single) == PHOTOS
        for file in files[1:4]:
            some, same = (visible(reader.search(file, PHOTOS)) for reader in (library, single))
            assert some[0] == same[0]
            assert some[1] == pytest.approx(same[1], rel=0.01)
        assert [f.path for f in library.skipped_files()] == [str(photos / "note.txt")]
        assert library.roots.places == {1: str(photos)}
        assert library.duplicates() == []


def test_a_photo_has_the_id_of_the_manifest(folder, files):
    build_all(folder)
    rows = [
        row
        for shard in load_layout(folder).shards
        for row in read_manifest(manifest_path(folder, 1), shard.numbers[0])
    ]
    assert sorted(file.path for _, file in rows) == sorted(map(str, files))
    with Library.open(folder) as library:
        assert len(library.among(Where())) == len(rows)
        for id, file in rows:
            assert library.record(id).paths == [file.path]
            assert (file.size, file.mtime) == (
                os.stat(file.path).st_size,
                os.stat(file.path).st_mtime_ns,
            )


def test_a_complete_shard_is_skipped_and_a_killed_one_continued(folder, monkeypatch):
    assert build_shard(folder, "0").embedded > 0
    before = (shard_folder(folder, "00000") / "data.mdb").stat()
    assert build_shard(folder, "00000").embedded == 0
    assert (shard_folder(folder, "00000") / "data.mdb").stat().st_mtime_ns == before.st_mtime_ns
    monkeypatch.setattr(embed, "FIRST_BATCH", 2)
    monkeypatch.setattr(embed, "COMMIT_BATCH", 2)
    reads = []

    def dies(files, side, workers=None):
        for file, result in read_in_process(files, side):
            if len(reads) == 5:
                raise MemoryError
            reads.append(file.path)
            yield file, result

    with monkeypatch.context() as patch:
        patch.setattr(embed, "read_photos", dies)
        with pytest.raises(MemoryError):
            build_shard(folder, "1")
    assert not shard_folder(folder, "00001").exists()
    planned = len(list(read_manifest(manifest_path(folder, 1), 1)))
    counts = build_shard(folder, "1")
    assert counts.embedded + counts.unchanged == planned
    assert counts.unchanged >= 4
    assert not building_folder(folder, "00001", None).exists()


def test_a_stopped_build_is_continued(folder):
    counts = build_shard(folder, "2", stopped=lambda: True)
    assert counts.interrupted
    assert not shard_folder(folder, "00002").exists()
    assert build_shard(folder, "2").embedded + counts.embedded >= 9


def test_a_shard_is_built_on_another_disk(folder, another_disk):
    build_shard(folder, "0", scratch=another_disk)
    assert os.listdir(shard_folder(folder, "00000")) == ["data.mdb"]
    assert os.listdir(another_disk) == []
    with Index.open(shard_folder(folder, "00000")) as index:
        assert all(os.path.exists(index.record(int(id)).paths[0]) for id in index.among(Where()))


def test_planning_again_covers_new_and_changed_photos_only(folder, files, fill, photos, picture):
    build_shard(folder, "0")
    build_shard(folder, "1")
    fill(photos, range(100, 104))
    with Library.open(folder) as library:
        in_first = library.record(int(library.among(Where())[0])).paths[0]
    picture(555).save(in_first)
    report = plan(folder, Request([photos], 1))
    assert (report.new, report.changed) == (4, 1)
    assert [(s.name, s.files) for s in report.shards] == [("00003", 5)]
    build_all(folder)
    with Library.open(folder) as library:
        assert len(library) == PHOTOS + 4
        best = library.search(in_first, 1)[0]
        assert (best.id // BLOCK, best.record.paths) == (3, [in_first])
        paths = [path for id in library.among(Where()) for path in library.record(int(id)).paths]
        assert Counter(paths).most_common(1)[0][1] == 1
    again = plan(folder, Request([photos], 1))
    assert (again.new, again.changed, len(again.shards)) == (0, 0, 0)


def test_small_shards_are_merged_and_photos_keep_their_ids(folder, files, photos, fill):
    build_all(folder)
    shutil.copy(files[3], photos / "copy.jpg")
    fill(photos, range(100, 102))
    (photos / "note.txt").write_text("no picture")
    plan(folder, Request([photos], 1))
    build_all(folder)

    def facts():
        with Library.open(folder) as library:
            assert not library.unavailable
            ids = library.among(Where())
            answers = [visible(library.search(file, 12)) for file in files[:4]]
            return set(ids.tolist()), len(library.skipped_files()), answers, len(library)

    ids, skipped, answers, count = facts()
    assert merge_shards(folder, 3) is None
    merged = merge_shards(folder, 100)
    assert (merged.name, merged.numbers) == ("00004", (0, 1, 2, 3))
    after, skipped_after, answers_after, count_after = facts()
    # The copy, in another shard, was a photo of its own.
    assert count_after == count - 1 == PHOTOS + 2
    assert after < ids
    assert skipped == skipped_after == 1
    for before, later in zip(answers, answers_after, strict=True):
        assert paths_in(before) == paths_in(later)
    assert os.listdir(folder / "shards") == ["00004"]
    assert plan(folder, Request([photos], 1)).new == 0


def test_the_whitening_is_fitted_on_a_random_sample(tmp_path, photos, fill, monkeypatch):
    from dataclasses import replace

    from light import fitted_encoder

    fill(photos, range(200))
    monkeypatch.setattr(planning, "FIT_PHOTOS", 120)
    encoder = fitted_encoder()
    report = plan(tmp_path / "library", Request([photos], 2), encoder)
    assert report.sample == 120
    counts = build_all(tmp_path / "library")
    assert sum(c.embedded for c in counts.values()) == 200
    with Library.open(tmp_path / "library") as library:
        card = library.encoder.card
        assert (card.whitened, card.fitted_from) == (120, encoder.fingerprint)
        assert replace(card, whitening="") == replace(
            planning.Encoder.open(tmp_path / "library" / "encoder").card, whitening=""
        )


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=300),
    st.integers(1, 7),
)
def test_shards_are_even_and_equal_sizes_stay_together(sizes, count):
    which = assign(sizes, count)
    counts = Counter(which)
    assert set(which) <= set(range(count))
    most = max(1, len(sizes) // (count * planning.LARGE))
    for size, files in Counter(sizes).items():
        if files <= most:
            assert len({w for w, s in zip(which, sizes, strict=True) if s == size}) == 1
    large = sum(files > most for files in Counter(sizes).values())
    assert max(counts.values()) - min(counts[n] for n in range(count)) <= most + large + 1


def test_what_cannot_be_planned(tmp_path, photos, files, encoder):
    with pytest.raises(NotFound):
        plan(tmp_path / "library", Request([tmp_path / "nothing"], 1), encoder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoPhotos):
        plan(tmp_path / "library", Request([tmp_path / "empty"], 1), encoder)
    with pytest.raises(Unsuitable, match="not empty"):
        plan(photos, Request([photos], 1), encoder)
    with pytest.raises(Unsuitable, match="encoder"):
        plan(tmp_path / "library", Request([photos], 1))
    with pytest.raises(NotFound, match="no library"):
        build_shard(tmp_path / "library", "0")
    plan(tmp_path / "library", Request([photos], 1), encoder)
    with pytest.raises(NotFound, match="no shard 5"):
        build_shard(tmp_path / "library", "5")


def test_photos_are_not_changed(folder, files):
    before = [(file.read_bytes(), file.stat().st_mtime_ns) for file in files]
    build_all(folder)
    assert [(file.read_bytes(), file.stat().st_mtime_ns) for file in files] == before


def test_later_shards_use_the_lists_and_settings_of_the_first(
    tmp_path, photos, fill, encoder, monkeypatch
):
    from indexes.search import kinds

    fill(photos, range(160))
    folder = tmp_path / "library"
    plan(folder, Request([photos], 2, kind="IVF4,Flat", recall=0.5), encoder)
    build_shard(folder, "0")
    monkeypatch.setattr(kinds, "_train", None)
    build_shard(folder, "1")
    with Library.open(folder) as library:
        one, other = library.info()["segment_list"]
        assert one["settings"] == other["settings"]
        assert one["kind"] == other["kind"] == "IVF4,Flat"
        centroids = [
            part.segments[0].index.quantizer.reconstruct_n(0, 4) for part in library.snapshot.parts
        ]
        assert np.array_equal(*centroids)
        assert min(one["recall"], other["recall"]) >= 0.5


def test_an_approximate_kind_is_fixed_for_all_shards(tmp_path, photos, files, encoder):
    folder = tmp_path / "library"
    plan(folder, Request([photos], 2, kind="HNSW8", recall=0.9), encoder)
    build_all(folder)
    with Library.open(folder) as library:
        info = library.info()
        assert (info["kind_asked"], info["recall_asked"], info["shards"]) == ("HNSW8", 0.9, 2)
        assert np.isfinite([r.score for r in library.search(files[0], 5)]).all()
