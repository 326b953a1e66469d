"""Photos taken within seconds of each other, and which of them is the sharpest."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageFilter, ImageOps

from indexes import Where
from indexes.duplicates.bursts import sharpness


def shoot(file: Path, image: Image.Image, time: str, camera: str = "One") -> Path:
    """A photo with a time of capture and a camera."""
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = camera
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = f"2024:05:01 12:00:{time}"
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, exif=exif, quality=95)
    return file


@pytest.fixture
def subject(picture) -> Image.Image:
    return picture(3, 320, 240)


def names(bursts) -> list[tuple[list[str], str]]:
    return [
        ([Path(shot.path).name for shot in burst.shots], Path(burst.sharpest.path).name)
        for burst in bursts
    ]


def test_photos_within_seconds_are_a_burst_and_the_sharpest_is_named(index, photos, subject):
    blurred = subject.filter(ImageFilter.GaussianBlur(2))
    shoot(photos / "b.jpg", blurred, "02")
    shoot(photos / "a.jpg", subject.filter(ImageFilter.GaussianBlur(1)), "00")
    shoot(photos / "c.jpg", subject, "05")
    shoot(photos / "later.jpg", subject, "40")
    shoot(photos / "other camera.jpg", subject, "03", camera="Two")
    subject.save(photos / "no time.jpg")
    index.sync([photos])
    assert names(index.bursts()) == [(["a.jpg", "b.jpg", "c.jpg"], "c.jpg")]
    values = [shot.sharpness for shot in index.bursts()[0].shots]
    assert values[1] < values[0] < values[2]


def test_another_subject_ends_a_burst(index, photos, subject):
    shoot(photos / "1.jpg", subject, "00")
    shoot(photos / "2.jpg", subject.resize((300, 225)), "01")
    shoot(photos / "3.jpg", ImageOps.invert(subject), "02")
    shoot(photos / "4.jpg", ImageOps.invert(subject).resize((300, 225)), "03")
    index.sync([photos])
    assert [files for files, _ in names(index.bursts())] == [["1.jpg", "2.jpg"], ["3.jpg", "4.jpg"]]
    assert [files for files, _ in names(index.bursts(-1.0))] == [
        ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    ]


def test_only_a_folder(index, photos, subject):
    for folder in ("a", "b"):
        shoot(photos / folder / "1.jpg", subject, "00")
        shoot(photos / folder / "2.jpg", subject.rotate(2), "01")
    index.sync([photos])
    where = Where(under=(str(photos / "b"),))
    (burst,) = index.bursts(where=where)
    assert {Path(shot.path).parent.name for shot in burst.shots} == {"b"}


@pytest.mark.parametrize("change", ["gone", "changed"])
def test_what_is_not_as_it_was_indexed_is_left_out(index, photos, subject, change):
    for number in range(3):
        shoot(photos / f"{number}.jpg", subject.rotate(number), f"0{number}")
    index.sync([photos])
    last = photos / "2.jpg"
    if change == "gone":
        last.unlink()
    else:
        subject.rotate(90).save(last)
    changed: set[str] = set()
    assert [files for files, _ in names(index.bursts(changed=changed))] == [["0.jpg", "1.jpg"]]
    assert changed == {str(last)}


def test_a_raw_file_beside_its_picture_is_no_burst(index, photos, subject):
    shoot(photos / "1.jpg", subject, "00")
    shoot(photos / "raw.jpg", subject.rotate(1), "00").rename(photos / "1.dng")
    index.sync([photos])
    assert index.bursts() == []


@given(st.integers(3, 12), st.integers(3, 12), st.integers(0, 99))
def test_sharpness_is_the_variance_of_a_plain_loop(height, width, seed):
    """And 0 for a ramp, which has no second derivative."""
    rows, columns = np.indices((height, width))
    assert sharpness((2 * rows + 3 * columns).astype(np.uint8)) == 0
    noise = np.random.default_rng(seed).integers(0, 200, (height, width)).astype(np.uint8)
    values = [
        int(noise[y - 1, x])
        + int(noise[y + 1, x])
        + int(noise[y, x - 1])
        + int(noise[y, x + 1])
        - 4 * int(noise[y, x])
        for y in range(1, height - 1)
        for x in range(1, width - 1)
    ]
    assert sharpness(noise) == pytest.approx(np.var(values), rel=1e-4)
