import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexes import Index, duplicates, pairs, sync
from indexes.copies import are_copies
from indexes.duplicates import against, groups, hashes_of, ignore
from indexes.pairs import copies, near_hashes
from indexes.records import Record
from mocosearch.errors import NotFound
from mocosearch.photos.perceptual import perceptual_hash, turned
from mocosearch.photos.worker import outcome_of

PLAIN = Record(4, 3, "JPEG", None, 1, "", [])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 60))
def test_all_pairs_are_those_of_a_plain_loop(seed, n):
    chance = np.random.default_rng(seed)
    keys = chance.standard_normal((n, 8))[chance.integers(0, n, n)] + chance.normal(0, 0.1, (n, 8))
    keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)
    bits = [0, 0b111, 0b11110000, 2**40 - 1]
    records = [replace(PLAIN, perceptual=f"{bits[b]:016x}") for b in chance.integers(0, 4, n)]
    records[0] = replace(PLAIN, perceptual="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "ROWS", 7)
        patch.setattr(pairs, "COLUMNS", 11)
        found = [
            pair
            for left, right in copies(keys, hashes_of(records))
            for pair in zip(left.tolist(), right.tolist(), strict=True)
        ]
    expected = {
        (i, j)
        for i, j in itertools.combinations(range(n), 2)
        if are_copies(records[i], records[j], float(keys[i] @ keys[j]))
    }
    assert len(found) == len(set(found))
    assert set(found) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 80), st.integers(0, 6))
def test_near_hashes_are_those_of_a_plain_loop(seed, n, bits):
    """Few base hashes with up to 7 bits turned: many pairs lie on either side of the limit."""
    chance = np.random.default_rng(seed)
    hashes = chance.integers(0, 2**64, 5, np.uint64)[chance.integers(0, 5, n)]
    for _ in range(7):
        turn = np.uint64(1) << chance.integers(0, 64, n, np.uint64)
        hashes = np.where(chance.random(n) < 0.5, hashes ^ turn, hashes)
    found = [
        pair
        for left, right in near_hashes(hashes, bits)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == {
        (i, j)
        for i, j in itertools.combinations(range(n), 2)
        if (int(hashes[i]) ^ int(hashes[j])).bit_count() <= bits
    }


def test_pairs_that_are_settled_are_left_out():
    keys = np.tile(np.eye(1, 8, dtype=np.float32), (40, 1))
    hashes = np.full(40, 255, np.uint64)
    hashes[:3] = 0
    found = [
        pair
        for left, right in copies(keys, hashes, settled=lambda left, right: left % 2 == 0)
        for pair in zip(left.tolist(), right.tolist(), strict=True)
    ]
    assert set(found) == {(i, j) for i, j in itertools.combinations(range(40), 2) if i % 2}


def test_a_turned_hash_is_nearly_the_hash_of_the_turned_picture(picture):
    for seed in range(8):
        image = picture(seed, 160, 160)
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(perceptual_hash(image)), np.uint8))
        predicted = np.concatenate(turned(bits[None]))
        assert len(predicted) == 7
        for way in Image.Transpose:
            real = bytes.fromhex(perceptual_hash(image.transpose(way)))
            apart = (predicted != np.unpackbits(np.frombuffer(real, np.uint8))).sum(1)
            assert apart.min() <= duplicates.TURNED_BITS, way


@pytest.fixture(scope="module")
def collection(encoder_folder, fill, picture, tmp_path_factory):
    """Six pictures; of 0000 a small, a light and a turned copy, of 0001 the same file again."""
    from mocosearch.encoder import Encoder

    base = tmp_path_factory.mktemp("duplicates")
    photos = base / "photos"
    files = fill(photos, range(6))
    original = Image.open(files[0])
    original.resize((48, 40)).save(photos / "small.png")
    original.save(photos / "poor.jpg", quality=60)
    original.transpose(Image.Transpose.ROTATE_90).save(photos / "turned.png")
    (photos / "same.jpg").write_bytes(files[1].read_bytes())
    (photos / "link.jpg").hardlink_to(files[2])
    (photos / "0003.dng").write_bytes(files[3].read_bytes() + b"raw")
    with Index.create(base / "index", Encoder.open(encoder_folder)) as index:
        sync(index, [photos])
    return base


def names(found) -> list[set[str]]:
    return [{Path(m.path).name for m in group.members} for group in found]


def test_copies_are_grouped_and_links_and_raw_pairs_are_not(collection):
    with Index.open(collection / "index") as index:
        found = groups(index)
        assert names(found) == [{"0000.jpg", "small.png", "poor.jpg"}, {"0001.jpg", "same.jpg"}]
        assert found[0].score > 0.9
        assert found[1].score == pytest.approx(1, abs=2e-3)
        assert [g.name for g in groups(index)] == [g.name for g in found]
        ways = names(groups(index, all_ways=True))
        assert ways[0] == {"0000.jpg", "small.png", "poor.jpg", "turned.png"}
        assert len(ways) == 2


def test_a_raw_file_is_no_copy_by_way_of_a_third(encoder, fill, tmp_path):
    (first,) = fill(tmp_path / "photos", [1])
    (first.parent / "0001.dng").write_bytes(first.read_bytes() + b"raw")
    Image.open(first).resize((48, 40)).save(first.parent / "small.png")
    with Index.create(tmp_path / "index", encoder) as index:
        sync(index, [first.parent])
        assert names(groups(index)) == [{"0001.jpg", "small.png"}]


def new_photos(folder: Path, side: int):
    for file in sorted(folder.iterdir()):
        content = outcome_of(str(file), side)
        yield str(file), file.stat().st_size, content.digest, content.picture


def test_new_photos_are_compared_with_what_stands_elsewhere(encoder, fill, tmp_path):
    """Every group may lose its new file, so another file must hold the picture."""
    old, new = tmp_path / "old", tmp_path / "new"
    a, b, c = fill(old, [1, 2, 3])
    new.mkdir()
    for name in ("one.jpg", "two.jpg"):
        (new / name).write_bytes(a.read_bytes())
    (new / "link.jpg").hardlink_to(b)
    (new / "gone.jpg").write_bytes(c.read_bytes())
    (new / "a.dng").write_bytes(a.read_bytes() + b"raw")
    with Index.create(tmp_path / "index", encoder) as index:
        sync(index, [old])
        c.unlink()
        wanted = [{"one.jpg", "0001.jpg"}, {"two.jpg", "0001.jpg"}]
        assert names(against(index, new_photos(new, index.encoder.side))) == wanted
        sync(index, [new])
        seen = [str(new)]
        assert names(against(index, new_photos(new, index.encoder.side), folders=seen)) == wanted
        (tmp_path / "way").symlink_to(old)
        way = tmp_path / "way"
        photos = list(new_photos(way, index.encoder.side))
        assert names(against(index, iter(photos), folders=[str(way)])) == [
            {"0001.jpg", "one.jpg", "two.jpg"}
        ]


def test_what_is_ignored_stays_ignored(collection, tmp_path):
    import shutil

    shutil.copytree(collection / "index", tmp_path / "index")
    with Index.create(tmp_path / "index", None) as index:
        found = groups(index)
        with pytest.raises(NotFound, match="nothing"):
            ignore(index, ["nothing"], found)
        ignore(index, [found[0].name], found)
        rest = groups(index)
        assert names(rest) == [{"0001.jpg", "same.jpg"}]
        ignore(index, [rest[0].name], rest)
    with Index.open(tmp_path / "index") as index:
        assert groups(index) == []


def test_one_more_file_of_an_ignored_content_is_told(encoder, fill, tmp_path):
    (first,) = fill(tmp_path / "photos", [1])
    (first.parent / "same.jpg").write_bytes(first.read_bytes())
    with Index.create(tmp_path / "index", encoder) as index:
        sync(index, [first.parent])
        found = groups(index)
        ignore(index, [found[0].name], found)
        assert groups(index) == []
        (first.parent / "again.jpg").write_bytes(first.read_bytes())
        sync(index, [first.parent])
        assert names(groups(index)) == [{"0001.jpg", "same.jpg", "again.jpg"}]


def test_the_pictures_for_copies(data, encoder_folder, tmp_path):
    """Precision 1 and recall 1 over what is resized, blurred, re-encoded or changed in contrast;
    turned and mirrored ones are found when asked for.
    """
    from mocosearch.encoder import Encoder

    labels = dict(line.split("\t") for line in (data / "copies.tsv").read_text().splitlines())
    with Index.create(tmp_path / "index", Encoder.open(encoder_folder)) as index:
        sync(index, [data / "copies"])
        (upright,) = names(groups(index))
        (every,) = names(groups(index, all_ways=True))
    bridge = {Path(path).name for path, label in labels.items() if label == "bridge"}
    turned_ones = {f"reg-test-input__dih__bridge-{n}-" for n in range(2, 9)}
    plain = {name for name in bridge if not name.startswith(tuple(turned_ones))}
    assert len(plain) == 27
    assert upright <= bridge
    assert len(upright & plain) >= 0.9 * len(plain)
    assert every == bridge
