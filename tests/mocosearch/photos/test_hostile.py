"""Files made to break decoders, real ones and thousands of spoilt ones: no file can hurt."""

import io
import random
import threading
from pathlib import Path

import psutil
import pytest
from PIL import Image

from mocosearch.photos import Photo, read_photos, scan

SIDE = 64
KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIF", "GIF", "AVIF", "JPEG2000")
REAL = (
    "camera/jpg_Canon_40D.jpg",
    "camera/heic_samplefilehub.heif",
    "copies/misc-images__modes__1.png",
    "copies/misc-images__modes__HSV.webp",
)


class Weight(threading.Thread):
    """The largest resident size of any process below this one, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.02):
            for child in psutil.Process().children(recursive=True):
                try:
                    self.peak = max(self.peak, child.memory_info().rss)
                except psutil.Error:
                    continue


@pytest.mark.parametrize("name", ["hostile", "camera"])
def test_every_file_is_accounted_for_within_the_limits(data, name):
    files = list(scan([str(data / name)]))
    weight = Weight()
    weight.start()
    answers = list(read_photos(files, SIDE, workers=2))
    weight.done.set()
    assert [found for found, _ in answers] == files
    assert 0 < weight.peak < 2e9
    told = {Path(found.path).name: outcome for found, outcome in answers}
    assert all(outcome for outcome in told.values() if isinstance(outcome, str))
    if name == "camera":
        assert all(isinstance(outcome, Photo) for outcome in told.values())
        return
    shown = [n for n, outcome in told.items() if isinstance(outcome, Photo)]
    assert {"truncated_jpeg.jpg", "truncated_image.png", "hopper_bad_exif.jpg"} <= set(shown)
    assert told["truncated_jpeg.jpg"].picture.facts.truncated
    assert not told["hopper_bad_exif.jpg"].picture.facts.truncated
    assert "over the limit" in told["decompression_bomb.gif"]
    assert told["timeout-dedc7a4ebd856d79b4359bbcc79e8ef231ce38f6.psd"] is None


def drawn(picture) -> list[bytes]:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    found = []
    for number, kind in enumerate(KINDS):
        out, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        picture(number, 160, 120).save(out, kind, exif=exif.tobytes())
        found.append(out.getvalue())
    return found


def real(data) -> list[bytes]:
    """As programs and cameras wrote them; and a TIFF with all that a camera says."""
    out = io.BytesIO()
    with Image.open(data / REAL[0]) as photo:
        photo.save(out, "TIFF", exif=photo.getexif())
    return [*((data / name).read_bytes() for name in REAL), out.getvalue()]


def spoilt(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Bits turned over, cut short, or spliced with another file."""
    changed = bytearray(data)
    way = chance.randrange(4)
    if way == 0:
        for _ in range(chance.choice((1, 3, 30))):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif way == 1:
        # The first bytes say how large everything is.
        for _ in range(chance.choice((1, 3, 9))):
            changed[chance.randrange(min(400, len(changed)))] = chance.choice((0, 127, 128, 255))
    elif way == 2:
        del changed[chance.randrange(len(changed)) :]
    else:
        at, size = chance.randrange(len(changed)), chance.randrange(1, 2000)
        begin = chance.randrange(len(other))
        changed[at : at + size] = other[begin : begin + size]
    return bytes(changed)


def slow(*values):
    return pytest.param(*values, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])


@pytest.mark.parametrize(("made", "count"), [(True, 60), slow(True, 3000), slow(False, 1500)])
def test_spoilt_files_are_read_or_refused(picture, tmp_path, data, made, count):
    """Every fourth file is whole, and stays so whatever its neighbours did to the worker."""
    chance = random.Random(7)
    originals = [*drawn(picture), (data / REAL[0]).read_bytes()] if made else real(data)
    for number in range(count):
        base = originals[number % len(originals)]
        whole = number % 4 == 0
        other = chance.choice(originals)
        (tmp_path / f"{number:05}.jpg").write_bytes(base if whole else spoilt(base, other, chance))
    answers = list(read_photos(list(scan([str(tmp_path)])), SIDE, workers=2))
    assert len(answers) == count
    for number, (_, outcome) in enumerate(answers):
        assert isinstance(outcome, Photo if number % 4 == 0 else Photo | str), number
        if isinstance(outcome, Photo):
            assert outcome.picture.pixels.shape == (SIDE, SIDE, 3)
            assert outcome.picture.facts.width > 0
        else:
            assert outcome
            assert "\n" not in outcome
