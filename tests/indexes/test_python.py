"""The Python interface: searches and additions in several forms, and from many threads."""

import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from light import (
    DIMENSION,
    light,
    openvino_encoder,
    read_in_process,
    use_light_encoders,
)

from indexes import Index, Where
from indexes.sync import add, embed
from indexes.verify import look
from mocosearch.errors import Mismatch, NotFound, Unreadable, Unsuitable
from mocosearch.photos import decode
from mocosearch.photos.decode import digest_of

README = Path(__file__).parents[2] / "README.md"


def copies_of(index, photos, **options):
    """The groups of the new photos that have copies in an index."""
    return (one.group for one in index.compare(photos, **options) if one.copies)


@pytest.fixture
def light_encoder(monkeypatch):
    """Its keys cost nothing, and are read in this process."""
    use_light_encoders(monkeypatch)
    monkeypatch.setattr(embed, "read_photos", read_in_process)
    monkeypatch.setattr(add, "read_photos", read_in_process)
    return light(1)


@pytest.fixture
def index(light_encoder, tmp_path):
    with Index.create(tmp_path / "index", light_encoder) as opened:
        yield opened


def units(n: int, seed: int = 0) -> np.ndarray:
    keys = np.random.default_rng(seed).standard_normal((n, DIMENSION)).astype(np.float32)
    return keys / np.linalg.norm(keys, axis=1, keepdims=True)


def test_files_pixels_and_keys_give_the_same_matches(index, photos, fill):
    files = fill(photos, range(6))
    assert index.sync([photos], workers=1).embedded == 6
    pixels = np.stack([decode(file.read_bytes(), index.encoder.side).pixels for file in files])
    by_file = index.query(files, 3)
    assert by_file == index.query(list(map(str, files)), 3)
    assert by_file == index.query(pixels, 3)
    assert by_file == index.query(index.encoder.encode(pixels), 3)
    assert [matches[0].record.paths for matches in by_file] == [[str(file)] for file in files]
    elsewhere = Where(not_under=(str(photos),))
    assert index.query(files[:1], 3, where=elsewhere) == [[]]


def test_inputs_that_are_not_pictures(index, tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(NotFound, match=r"absent\.jpg"):
        index.query([tmp_path / "absent.jpg"])
    with pytest.raises(Unreadable, match=r"notes\.txt"):
        index.query([tmp_path / "notes.txt"])
    for wrong in (np.zeros((2, 8, 8, 3), np.uint8), units(1)[0], np.zeros((2, DIMENSION + 1))):
        with pytest.raises(Mismatch):
            index.query(wrong)


def test_added_files_are_searched_and_a_sync_follows_them(index, photos, fill):
    files = fill(photos, range(4))
    ids = index.add(files[:2])
    assert [matches[0].id for matches in index.query(files[:2], 1)] == ids
    assert index.add(files[:2]) == ids
    counts = index.sync([photos])
    assert (counts.embedded, counts.unchanged) == (2, 2)
    assert list(look(index)) == []


def test_given_keys_are_searched_under_their_names(index, tmp_path):
    names = [tmp_path / f"{number}.jpg" for number in range(5)]
    ids = index.add(names, 3 * units(5))
    rows = index.query(units(5), 1)
    assert [row[0].id for row in rows] == ids
    assert [row[0].score for row in rows] == pytest.approx([1] * 5, abs=2e-3)
    assert [row[0].record.paths for row in rows] == [[str(name)] for name in names]
    (other,) = index.add(names[:1], units(1, 9))
    assert other not in ids
    assert {match.id for match in index.query(units(1), 9)[0]} == {*ids[1:], other}
    assert list(look(index)) == []


def test_keys_of_another_encoder_do_not_fit(index, tmp_path):
    name, other = [tmp_path / "a.jpg"], light(2)
    index.add(name, units(1), encoder=light(1))
    assert index.query(units(1), encoder=index.encoder)[0][0].score == pytest.approx(1, abs=2e-3)
    with pytest.raises(Mismatch, match=other.fingerprint[:12]):
        index.query(units(1), encoder=other)
    with pytest.raises(Mismatch, match=other.fingerprint[:12]):
        index.add([tmp_path / "b.jpg"], units(1, 2), encoder=other)
    assert len(index) == 1


def test_a_failed_addition_adds_nothing(index, photos, fill, tmp_path):
    files = fill(photos, range(2))
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    for wrong, error in (
        (([*files, photos / "bad.jpg"],), Unreadable),
        (([*files, photos / "absent.jpg"],), NotFound),
        ((files, units(3)), Mismatch),
        ((files, np.zeros((2, DIMENSION))), Unsuitable),
        ((files, np.full((2, DIMENSION), np.nan)), Unsuitable),
    ):
        with pytest.raises(error):
            index.add(*wrong)
    assert len(index) == 0


def test_an_index_is_opened_for_changes(index, tmp_path):
    index.close()
    with Index.open(tmp_path / "index", writable=True) as again:
        again.add([tmp_path / "a.jpg"], units(1))
    with Index.open(tmp_path / "index") as reader:
        assert len(reader) == 1
    with pytest.raises(NotFound):
        Index.open(tmp_path / "absent", writable=True)


def test_many_threads_search_while_one_adds(index, tmp_path):
    """Each result is of one snapshot: it lists as many photos as the snapshot has."""
    index.add([tmp_path / f"{n}.jpg" for n in range(20)], units(20))
    outcome = threading.Event()

    def search(seed: int) -> int:
        searches = 0
        while not outcome.is_set() or not searches:
            index.refresh()
            count = len(index)
            rows = index.query(units(3, seed), 1000)
            assert [len(row) for row in rows] == [count] * 3
            assert len(index.search(units(1, seed), 1000, fold=False)) == count
            searches += 1
        return searches

    with ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(search, seed) for seed in range(8)]
        try:
            for batch in range(12):
                names = [tmp_path / f"{batch}-{n}.jpg" for n in range(5)]
                index.add(names, units(5, 100 + batch))
        finally:
            outcome.set()
        assert all(future.result() for future in futures)
    index.refresh()
    assert len(index) == 80


def test_many_threads_add(index, tmp_path):
    def add(number):
        return [
            index.add([tmp_path / f"{number}-{at}.jpg"], units(1, seed=50 * number + at))[0]
            for at in range(12)
        ]

    with ThreadPoolExecutor(6) as threads:
        ids = [id for batch in threads.map(add, range(6)) for id in batch]
    assert len(set(ids)) == 72
    index.refresh()
    assert list(look(index)) == []
    assert {match.id for match in index.query(units(1), 99)[0]} == set(ids)


REPLACE = """
import sys, numpy as np
from pathlib import Path
from indexes import Index
with Index.open(Path(sys.argv[1]), writable=True) as index:
    index.compact()
    index.add(["/more.jpg"], np.eye(1, index.encoder.dimension, dtype="f4"))
"""


def test_a_reader_continues_with_a_replaced_file(index, tmp_path):
    index.add([tmp_path / "a.jpg"], units(1))
    index.close()
    with Index.open(tmp_path / "index") as reader:
        assert len(reader) == 1
        words = [sys.executable, "-c", REPLACE, str(tmp_path / "index")]
        subprocess.run(words, check=True, cwd=README.parent)
        assert len(reader.query(units(1), 9)[0]) == 1
        reader.refresh()
        assert len(reader.query(units(1), 9)[0]) == 2


def test_a_snapshot_ends_with_its_thread(index, tmp_path):
    index.add([tmp_path / "a.jpg"], units(1))
    index.refresh()
    thread = threading.Thread(target=lambda: index.query(units(1), 1))
    thread.start()
    thread.join()
    readers = [line.split() for line in index.store.env.readers().splitlines()[1:]]
    assert not any(reader[2].isdigit() for reader in readers)


def test_threads_share_an_encoder(tmp_path):
    encoder = openvino_encoder(tmp_path / "encoder")
    pixels = np.random.default_rng(0).integers(
        0, 256, (4, encoder.side, encoder.side, 3), dtype=np.uint8
    )
    alone = [encoder.encode(one[None]) for one in pixels]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda one: encoder.encode(one[None]), pixels))
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_example_in_the_readme(fill, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = fill(tmp_path / "holiday", range(6))
    shutil.copy(files[3], tmp_path / "photo.jpg")
    openvino_encoder(tmp_path / "my-encoder")
    section = README.read_text().split("## From Python")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    (example,) = [block for block in blocks if "Index" in block]
    # The encoder is there already; training has tests of its own.
    lines = [line for line in example.splitlines() if not line.startswith("train(")]
    exec(compile("\n".join(lines), "README.md", "exec"), {})
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith(f"['{files[3]}']")


def test_a_thread_continues_after_a_compaction(index, tmp_path):
    index.add([tmp_path / "a.jpg"], units(1))
    with ThreadPoolExecutor(1) as other:
        assert len(other.submit(index.query, units(1), 9).result()[0]) == 1
        index.compact()
        assert len(other.submit(index.query, units(1), 9).result()[0]) == 1


def test_an_unregistered_reader_searches_again_after_an_overwrite(index, tmp_path):
    """On a disk that this program may only read, and another one writes."""
    index.add([tmp_path / "a.jpg"], units(1))
    index.close()
    with Index.open(tmp_path / "index") as reader:
        reader.store.has_lock_file = False
        assert len(reader.query(units(1), 9)[0]) == 1
        words = [sys.executable, "-c", ADD, str(tmp_path / "index")]
        subprocess.run(words, check=True, cwd=README.parent)
        assert len(reader.query(units(1), 9)[0]) == 3


ADD = """
import sys, numpy as np
from pathlib import Path
from indexes import Index
with Index.open(Path(sys.argv[1]), writable=True) as index:
    for number in range(2):
        index.add([f"/{number}.jpg"], np.eye(1, index.encoder.dimension, dtype="f4"))
"""


def test_a_file_can_be_named_only_once(index, tmp_path):
    with pytest.raises(Unsuitable, match="twice"):
        index.add([tmp_path / "a.jpg"] * 2, units(2))
    assert len(index) == 0


def test_one_path_is_as_good_as_a_list(index, photos, fill):
    """A path that is iterated letter by letter is no error, only other files."""
    file, other, *_ = fill(photos, range(4))
    (photos / "more").mkdir()
    for name in (str, Path):
        assert index.add(name(file)) == index.add([file])
        assert index.sync(name(photos), exclude="more").skipped == 0
        assert index.query(name(file)) == index.query([file])
        assert index.search(name(file)) == index.search([file])
        unlike = index.search(file, minus=name(other), fold=False)
        assert unlike == index.search(file, minus=[other], fold=False)
        assert unlike[0].score != index.search(file, fold=False)[0].score
        assert index.search(name(photos)) == index.search([photos])
    assert len(index) == 4


def test_one_folder_of_new_photos_and_one_name_of_a_group(index, photos, fill):
    (file,) = fill(photos, [0])
    copy = Path(shutil.copy(file, photos / "copy.jpg"))
    index.sync(photos)
    data = copy.read_bytes()
    new = [(str(copy), len(data), digest_of(data), decode(data, index.encoder.side))]
    for name in (str, Path):
        assert list(copies_of(index, iter(new), folders=name(photos))) == []
        (group,) = copies_of(index, iter(new), folders=name(photos / "c"))
        assert group.members[1].path == str(file)
    (group,) = index.duplicates()
    index.ignore(group.name, [group])
    assert index.duplicates() == []


def test_a_search_names_the_skipped_files_of_a_folder(index, photos, fill):
    fill(photos, range(2))
    index.sync(photos)
    (photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    answer = index.search([photos])
    assert list(answer.skipped) == [str(photos / "bad.jpg")]
    assert len(answer) == 2
