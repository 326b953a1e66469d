"""Files that end too early: pictures with most of their rows are decoded, others are skipped."""

import pytest
from picture_files import SIDE, distance, orientation_exif, to_bytes
from PIL import Image

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import decode

TRUNCATABLE = [
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("PNG", {}),
    ("GIF", {"interlace": 0}),
    ("GIF", {"interlace": 1}),
    ("BMP", {}),
    ("TIFF", {}),
]


@pytest.mark.parametrize(("kind", "options"), TRUNCATABLE)
def test_a_file_with_most_of_its_rows_is_a_truncated_picture(picture, kind, options):
    data = to_bytes(picture(7, 400, 300), kind, **options)
    result, complete = decode(data[: int(len(data) * 0.9)], SIDE), decode(data, SIDE)
    assert result.facts.truncated
    assert not complete.facts.truncated
    assert (result.facts.width, result.facts.height) == (400, 300)
    middle = result.pixels[SIDE // 4 : SIDE // 2], complete.pixels[SIDE // 4 : SIDE // 2]
    if kind == "GIF" and options["interlace"]:
        return
    assert distance(*middle) < 3


@pytest.mark.parametrize(("kind", "options"), TRUNCATABLE)
@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_file_with_few_rows_is_skipped(picture, kind, options, share):
    if options.get("progressive"):
        share /= 4
    data = to_bytes(picture(7, 400, 300), kind, **options)
    with pytest.raises(Unreadable) as error_info:
        decode(data[: int(len(data) * share)], SIDE)
    assert error_info.value.what
    assert "\n" not in error_info.value.what


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "JPEG"])
def test_black_rows_of_a_truncated_picture_are_not_missing_rows(picture, kind):
    """A night sky: black rows look like rows that Pillow did not decode."""
    night = Image.new("RGB", (400, 300))
    night.paste(picture(7, 400, 100).effect_spread(9), (0, 200))
    data = to_bytes(night, kind, **({"interlace": 0} if kind == "GIF" else {}))
    assert decode(data[: int(len(data) * 0.97)], SIDE).facts.truncated


def test_a_page_without_its_last_bytes_is_a_truncated_picture(picture):
    """Its white rows equal its last row, and none are missing."""
    page = Image.new("RGB", (400, 300), "white")
    page.paste(picture(7, 300, 60), (50, 20))
    result = decode(to_bytes(page, "JPEG")[:-2], SIDE)
    assert result.facts.truncated
    assert (result.pixels[-8:] == 255).all()


@pytest.mark.parametrize("orientation", [1, 3, 4])
def test_a_tiff_with_few_rows_is_skipped_in_any_orientation(picture, orientation):
    data = to_bytes(picture(7, 400, 300), "TIFF", exif=orientation_exif(orientation))
    pixels = picture(7, 400, 300).tobytes()
    begin = data.index(pixels[:400])
    with pytest.raises(Unreadable, match="truncated"):
        decode(data[: begin + len(pixels) // 4], SIDE)


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000"])
def test_truncated_files_of_other_formats_are_skipped(picture, kind):
    data = to_bytes(picture(7), kind)
    for share in (0.02, 0.5, 0.9):
        with pytest.raises(Unreadable) as error_info:
            decode(data[: int(len(data) * share)], SIDE)
        assert error_info.value.what
