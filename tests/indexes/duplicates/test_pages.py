"""Pages of one layout are not copies of each other; their re-saved and changed versions are."""

import io
from pathlib import Path

import numpy as np
import pytest
from duplicates.pages import PAGES, invoice, receipt, scaled, versions
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexes import Index
from indexes.copies import detail
from indexes.copies.detail import Details, differ
from indexes.search.fold import Comparison, fold_copies


def saved(page: Image.Image, quality: int = 90) -> np.ndarray:
    """The grey pixels of a page saved as JPEG."""
    file = io.BytesIO()
    page.save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("L"))


@pytest.mark.parametrize("number", range(len(PAGES)))
def test_versions_of_a_page_agree_and_other_pages_differ(number):
    """Each page in some of its versions, together in all of them."""
    page = list(PAGES.values())[number]
    original = saved(page(1))
    some = list(versions(page(1)))[number % 3 :: 3]
    assert [name for name, copy, quality in some if differ(original, saved(copy, quality))] == []
    assert differ(original, saved(page(2), 60))
    assert differ(original, saved(scaled(page(3), 0.35), 75))


def test_one_digit_makes_a_difference():
    page, other = receipt(1), receipt(1)
    box = (280, 300, 345, 330)
    assert np.any(np.asarray(page.crop(box)) != np.asarray(receipt(2).crop(box)))
    other.paste(receipt(2).crop(box), box)
    assert differ(saved(page), saved(other, 60))


def test_a_copy_without_its_edges_is_aligned(picture):
    page = picture(1, 400, 300)
    cut = page.crop((6, 4, 394, 297))
    assert not differ(saved(page), saved(cut, 80))
    assert differ(saved(page), saved(picture(2, 400, 300)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, 4, 9, 40, 300]), min_size=4, max_size=4))
def test_pictures_of_any_shape_are_compared(sides):
    """Strips and lines of one pixel too. Warnings are errors here."""
    chance = np.random.default_rng(sum(sides))
    one, other = (chance.integers(0, 256, shape, np.uint8) for shape in (sides[:2], sides[2:]))
    assert differ(one, other) in (True, False)
    assert not differ(one, one.copy())


def test_a_strip_and_its_copies(index, photos, picture):
    """So flat that it has one row where its movement is first estimated."""
    strip = picture(1, 2000, 60)
    strip.save(photos / "strip.png")
    strip.save(photos / "saved.jpg", quality=60)
    strip.crop((14, 1, 1990, 59)).save(photos / "cut.png")
    picture(2, 2000, 60).save(photos / "other.png")
    index.sync([photos])
    (group,) = index.duplicates()
    assert {"strip.png", "saved.jpg"} <= names(member.path for member in group.members)
    assert "other.png" not in names(member.path for member in group.members)
    assert names(index.search(photos / "strip.png", 1)[0].record.paths) == {"strip.png"}


@pytest.fixture
def pages(index, photos):
    """Four invoices and two copies of the first."""
    for seed in range(4):
        invoice(seed).save(photos / f"{seed}.png")
    invoice(0).save(photos / "saved.jpg", quality=60)
    scaled(invoice(0), 0.5).save(photos / "half.jpg", quality=80)
    index.sync([photos])
    return index


def names(paths) -> set[str]:
    return {Path(path).name for path in paths}


def test_invoices_are_neither_grouped_nor_folded(pages: Index, photos):
    groups = pages.duplicates(0.0)
    assert [names(m.path for m in g.members) for g in groups] == [
        {"0.png", "saved.jpg", "half.jpg"}
    ]
    answer = pages.search(photos / "1.png", 10)
    assert [result.copies for result in answer if names(result.record.paths) & {"1.png"}] == [0]
    assert len(answer) == 4


def test_what_cannot_be_read_is_no_copy(pages: Index, photos):
    matches = pages.query([photos / "0.png"], 10)[0]
    (photos / "saved.jpg").write_bytes(b"another file")
    (photos / "half.jpg").unlink()
    assert all(len(group) == 1 for group in fold_copies(pages.snapshot, matches, Comparison()))
    details = Details()
    record = next(m.record for m in matches if names(m.record.paths) == {"saved.jpg"})
    original = next(m.record for m in matches if names(m.record.paths) == {"0.png"})
    assert not details.equal(original, record)
    assert names(details.unread) == {"saved.jpg"}


def test_a_wider_search_reads_no_file_again(pages: Index, photos, monkeypatch):
    read, digests = detail.read_grey, []

    def read_and_note(record):
        digests.append(record.digest)
        return read(record)

    monkeypatch.setattr(detail, "read_grey", read_and_note)
    monkeypatch.setattr("indexes.search.answer.FIRST", 3)
    assert len(pages.search(photos / "0.png", 4)) == 4
    assert len(digests) == len(set(digests)) >= 3


def test_the_file_of_the_query_is_before_its_copies(index, photos, picture):
    """Copies with the same pixels have the same key; the first of them has the lowest id."""
    page = picture(1)
    for name, level in (("a.png", 1), ("b.png", 5), ("c.png", 9)):
        page.save(photos / name, compress_level=level)
    index.sync([photos])
    for name in ("a.png", "b.png", "c.png"):
        assert names(index.search(photos / name, 3, fold=False)[0].record.paths) == {name}
        assert names(index.search(photos / name, 1)[0].record.paths) == {name}
