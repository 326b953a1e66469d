"""Keys of regions: a picture that is a part of a photo is found in it, with its place."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from textures import SIZE, draw_textures, texture

from indexes import Crop, Index, Where
from indexes.parts import fill, store
from indexes.parts.store import is_enabled, missing, photos
from indexes.search import merging, segments
from indexes.search.answer import Region
from indexes.search.segments import REGIONS
from indexes.sync import embed
from indexes.sync.update import Changes
from indexes.verify import look
from mocosearch.encoder import Encoder
from mocosearch.errors import NotFound, Unsuitable

COUNT = 12
BOX = 90, 60, 140, 120
"""Left, top, width and height of the part that is searched for, in photo NUMBER."""
NUMBER = 5


@pytest.fixture(scope="session")
def starter() -> Encoder:
    return Encoder.open("starter")


@pytest.fixture(scope="session")
def made(once, starter) -> Path:
    """A folder with photos and an index of them with keys of regions."""

    def make(folder: Path) -> None:
        draw_textures(folder / "photos" / "one", COUNT // 2)
        draw_textures(folder / "photos" / "two", COUNT // 2, first=COUNT // 2)

    folder = once("textures", make)
    if not Index.exists(folder / "index"):
        with Index.create(folder / "index", starter) as index:
            index.update(Changes([folder / "photos"], parts=True, workers=1))
    return folder


@pytest.fixture(scope="module")
def index(made):
    """Opened once, so that the network is compiled once; tests must not change it."""
    with Index.open(made / "index") as opened:
        yield opened


@pytest.fixture
def home(made, tmp_path) -> Path:
    """A copy of it, whose index knows the photos of the copy."""
    shutil.copytree(made, tmp_path / "copy")
    with Index.open(tmp_path / "copy" / "index", writable=True) as index:
        index.move(made / "photos", tmp_path / "copy" / "photos")
    return tmp_path / "copy"


@pytest.fixture
def own(home):
    """The index of the copy, to be changed."""
    with Index.open(home / "index", writable=True) as opened:
        yield opened


@pytest.fixture
def part(tmp_path) -> Path:
    """A part of a photo, smaller than there, and saved again."""
    left, top, width, height = BOX
    image = texture(NUMBER).crop((left, top, left + width, top + height))
    image.resize((width * 3 // 4, height * 3 // 4), Image.Resampling.BICUBIC).save(
        tmp_path / "part.jpg", quality=80
    )
    return tmp_path / "part.jpg"


def changed(part: Path, change) -> Path:
    with Image.open(part) as image:
        change(image).save(part.with_name("changed.jpg"), quality=85)
    return part.with_name("changed.jpg")


def name_of(result) -> str:
    return Path(result.record.paths[0]).stem


def overlap(region: Region | None) -> float:
    """Intersection over union with BOX."""
    assert region is not None
    left, top, width, height = BOX
    right = min(region.x + region.w, left + width) - max(region.x, left)
    down = min(region.y + region.h, top + height) - max(region.y, top)
    both = max(right, 0) * max(down, 0)
    return both / (region.w * region.h + width * height - both)


def assert_in_its_place(answer) -> None:
    assert name_of(answer[0]) == f"{NUMBER:03}"
    assert overlap(answer[0].region) > 0.9
    assert answer[0].agreeing >= 8
    assert answer.significant == 1
    assert all(result.region is None for result in answer[1:])


def faults(index: Index) -> list[str]:
    return [finding.text for finding in look(index) if finding.is_fault]


def test_a_part_is_found_in_its_place(index, part):
    assert_in_its_place(index.find_part(part, 5))
    assert_in_its_place(index.find_part(part.read_bytes(), 5))


@pytest.mark.parametrize("way", list(Image.Transpose)[:1])
def test_a_mirrored_part_is_found(index, part, way):
    assert_in_its_place(index.find_part(changed(part, lambda image: image.transpose(way)), 5))


def test_a_part_in_a_frame_is_found_in_its_place(index, part):
    def frame(image: Image.Image) -> Image.Image:
        framed = Image.new("RGB", (image.width + 60, image.height + 60), "white")
        framed.paste(image, (30, 30))
        return framed

    assert_in_its_place(index.find_part(changed(part, frame), 5))


def test_a_region_of_a_picture_is_searched_for(index, part, tmp_path):
    page = Image.new("RGB", (300, 200), "grey")
    with Image.open(part) as image:
        page.paste(image, (150, 70))
        size = image.size
    page.save(tmp_path / "page.png")
    assert_in_its_place(index.find_part(tmp_path / "page.png", 5, crop=Crop(150, 70, *size)))


def test_only_photos_of_a_filter_are_searched(index, made, part):
    outside = Where(under=(str(made / "photos" / "two"),))
    assert {name_of(result) for result in index.find_part(part, 20, where=outside)} == {
        f"{number:03}" for number in range(COUNT // 2, COUNT)
    }
    assert_in_its_place(
        index.find_part(part, 5, where=Where(under=(str(made / "photos" / "one"),)))
    )


def test_a_picture_of_no_photo_is_significant_in_none(index, tmp_path):
    texture(99).save(tmp_path / "other.jpg")
    answer = index.find_part(tmp_path / "other.jpg", 5)
    assert answer.significant == 0
    assert not index.find_part(tmp_path / "other.jpg", 5, significant_only=True)


def test_an_index_without_keys_of_regions_says_how_to_add_them(starter, tmp_path, part):
    draw_textures(tmp_path / "photos", 2)
    with Index.create(tmp_path / "index", starter) as index:
        index.sync(tmp_path / "photos", workers=1)
        assert not index.has_parts
        with pytest.raises(Unsuitable, match="no keys of regions") as caught:
            index.find_part(part)
        assert "mocosearch index --parts" in caught.value.hint


def test_without_opencv_one_line_says_what_to_install(index, part, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(Unsuitable, match="OpenCV") as caught:
        index.find_part(part)
    assert caught.value.hint == "pip install 'mocosearch[parts]'"


def test_a_missing_file_is_named(index, tmp_path):
    with pytest.raises(NotFound, match=r"nothing\.jpg"):
        index.find_part(tmp_path / "nothing.jpg")


def test_an_encoder_without_maps_is_rejected_before_anything_changes(encoder, tmp_path):
    draw_textures(tmp_path / "photos", 2)
    with Index.create(tmp_path / "index", encoder) as index:
        with pytest.raises(Unsuitable, match="no feature maps"):
            index.update(Changes([tmp_path / "photos"], parts=True, workers=1))
        assert not is_enabled(index.txn)


def test_whole_pictures_are_found_as_without_keys_of_regions(index, made, part, starter, tmp_path):
    with Index.create(tmp_path / "plain", starter) as plain:
        plain.update(Changes([made / "photos"], workers=1))
        with_parts, without = (
            [(result.id, result.score) for result in one.search(part, 10)] for one in (index, plain)
        )
    assert with_parts == without


def test_photos_of_an_existing_index_get_keys_of_regions(home, starter, part, tmp_path):
    with Index.create(tmp_path / "later", starter) as index:
        index.update(Changes([home / "photos"], workers=1))
        report = index.update(Changes(parts=True, workers=1))
        assert report.counts.embedded == 0
        assert_in_its_place(index.find_part(part, 5))
        assert not faults(index)


def test_new_photos_get_keys_of_regions_without_the_option(own, home, tmp_path):
    draw_textures(home / "photos" / "two", 3, first=50)
    own.update(Changes([home / "photos"], workers=1))
    assert own.info()["parts"]["photos"] == COUNT + 3
    texture(51).crop((40, 40, 200, 180)).save(tmp_path / "new.png")
    answer = own.find_part(tmp_path / "new.png", 3)
    assert name_of(answer[0]) == "051"
    assert answer[0].region
    assert not faults(own)


def test_added_photos_get_keys_of_regions(own, home, tmp_path):
    (file,) = draw_textures(home / "photos", 1, first=60)
    own.add(file)
    texture(60).crop((40, 40, 200, 180)).save(tmp_path / "new.png")
    assert name_of(own.find_part(tmp_path / "new.png", 3)[0]) == "060"


def test_a_deleted_photo_is_not_found_and_leaves_no_regions(own, home, part):
    os.remove(home / "photos" / "one" / f"{NUMBER:03}.jpg")
    own.update(Changes([home / "photos"], workers=1))
    found = {name_of(result) for result in own.find_part(part, 20)}
    assert f"{NUMBER:03}" not in found
    assert len(found) == COUNT - 1
    assert len(segments.ids_of_all(own.txn, REGIONS)) == COUNT - 1
    # The segment of whole keys still masks it; a smaller share of a segment is not rebuilt.
    assert np.isin(merging.deleted_ids(own.txn), segments.ids_of_all(own.txn)).all()
    assert not faults(own)


def test_a_run_that_ended_before_the_codec_was_trained_is_continued(
    home, starter, part, tmp_path, monkeypatch
):
    monkeypatch.setattr(embed, "FIRST_BATCH", 4)
    calls = iter([False] * 6 + [True] * 1000)
    with Index.create(tmp_path / "index", starter) as index:
        index.update(Changes([home / "photos"], parts=True, workers=1), stopped=lambda: next(calls))
        assert store.waiting(index.txn)
        assert not index.has_parts
        index.update(Changes([home / "photos"], workers=1))
        assert not store.waiting(index.txn)
        assert not missing(index.txn)
        assert_in_its_place(index.find_part(part, 5))
        assert not faults(index)


def test_a_codec_of_few_photos_is_trained_again(home, starter, part, tmp_path, monkeypatch):
    draw_textures(tmp_path / "photos", 2, first=70)
    with Index.create(tmp_path / "index", starter) as index:
        index.update(Changes([tmp_path / "photos"], parts=True, workers=1))
        shutil.copytree(home / "photos", tmp_path / "photos" / "more")
        trained = []
        monkeypatch.setattr(fill.store.codec, "save", _noting(fill.store.codec.save, trained))
        index.update(Changes([tmp_path / "photos"], workers=1))
        assert len(trained) == 1
        assert len(photos(index.txn)) == COUNT + 2
        assert_in_its_place(index.find_part(part, 5))


def _noting(save, trained: list):
    def note(txn, codec) -> None:
        trained.append(codec)
        save(txn, codec)

    return note


def test_damaged_regions_are_reported_and_computed_again(own, home, part):
    number = segments.numbers(own.txn, REGIONS)[0]
    blob = bytearray(segments.part(own.txn, number, b"faiss", space=REGIONS))
    blob[len(blob) // 2] ^= 255
    own.refresh()

    def damage(txn) -> None:
        txn.put("regions", number + b"faiss", bytes(blob))

    with own._change():
        own.store.write(damage)
    assert any("regions" in fault for fault in faults(own))
    own.repair()
    assert not faults(own)
    assert not own.has_parts
    own.update(Changes([home / "photos"], workers=1))
    assert_in_its_place(own.find_part(part, 5))


def test_new_keys_include_those_of_regions(own, part, starter):
    ids = {int(id) for id in photos(own.txn)}
    own.renew(starter, workers=1)
    assert len(photos(own.txn)) == COUNT
    assert not ids & {int(id) for id in photos(own.txn)}
    assert_in_its_place(own.find_part(part, 5))
    assert not faults(own)


def test_compacting_and_merging_change_no_result(own, home, part):
    for first in (50, 52):
        draw_textures(home / "photos" / "two", 2, first=first)
        own.update(Changes([home / "photos"], workers=1))
    before = [(result.id, result.score) for result in own.find_part(part, 30)]
    own.merge(everything=True)
    own.compact()
    assert [(result.id, result.score) for result in own.find_part(part, 30)] == before


def test_bytes_per_photo_stay_small(index):
    segment = index.snapshot.regions[0]
    ivf = segments.load_faiss().extract_index_ivf(segment.index)
    assert segment.rows * (ivf.code_size + 8) + 8 <= 1.5 * 1024
    assert np.array_equal(np.sort(segment.ids), np.sort(photos(index.txn)))
    assert texture(0).size == SIZE
