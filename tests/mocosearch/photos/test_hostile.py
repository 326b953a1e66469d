"""Files that were made to break decoders, and thousands of randomly damaged ones."""

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


class PeakMemory(threading.Thread):
    """The largest resident size of any child process, in bytes."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.stop = threading.Event()

    def run(self) -> None:
        this = psutil.Process()
        own = this.cmdline()
        while not self.stop.wait(0.02):
            for child in this.children(recursive=True):
                try:
                    # A process that has just been forked still has the memory of this one.
                    if child.cmdline() != own:
                        self.peak = max(self.peak, child.memory_info().rss)
                except psutil.Error:
                    continue


@pytest.mark.parametrize("name", ["hostile", "camera"])
def test_every_file_has_a_result_within_the_memory_limit(data, name):
    files = list(scan([str(data / name)]))
    memory = PeakMemory()
    memory.start()
    answers = list(read_photos(files, SIDE, workers=2))
    memory.stop.set()
    assert [stat for stat, _ in answers] == files
    assert 0 < memory.peak < 2e9
    results = {Path(stat.path).name: result for stat, result in answers}
    assert all(result for result in results.values() if isinstance(result, str))
    if name == "camera":
        assert all(isinstance(result, Photo) for result in results.values())
        return
    photos = {name for name, result in results.items() if isinstance(result, Photo)}
    assert {"truncated_jpeg.jpg", "truncated_image.png", "hopper_bad_exif.jpg"} <= photos
    assert results["truncated_jpeg.jpg"].picture.facts.truncated
    assert not results["hopper_bad_exif.jpg"].picture.facts.truncated
    assert "over the limit" in results["decompression_bomb.gif"]
    assert results["timeout-dedc7a4ebd856d79b4359bbcc79e8ef231ce38f6.psd"] is None


def draw_files(picture) -> list[bytes]:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    files = []
    for number, kind in enumerate(KINDS):
        out, exif = io.BytesIO(), Image.Exif()
        exif[0x0112] = 6
        picture(number, 160, 120).save(out, kind, exif=exif.tobytes())
        files.append(out.getvalue())
    return files


def real_files(data) -> list[bytes]:
    """Files of programs and cameras, and a TIFF with a camera's metadata."""
    out = io.BytesIO()
    with Image.open(data / REAL[0]) as photo:
        photo.save(out, "TIFF", exif=photo.getexif())
    return [*((data / name).read_bytes() for name in REAL), out.getvalue()]


def damage(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """A copy with bits flipped or bytes replaced, truncated, or with part of another file."""
    changed = bytearray(data)
    way = chance.randrange(4)
    if way == 0:
        for _ in range(chance.choice((1, 3, 30))):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    elif way == 1:
        # The first bytes hold sizes.
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


@pytest.mark.parametrize(
    ("is_generated", "count"), [(True, 60), slow(True, 3000), slow(False, 1500)]
)
def test_damaged_files_are_decoded_or_skipped(picture, tmp_path, data, is_generated, count):
    """Every fourth file is intact, and is decoded whatever the others did to the worker."""
    chance = random.Random(7)
    generated = [*draw_files(picture), (data / REAL[0]).read_bytes()]
    originals = generated if is_generated else real_files(data)
    for number in range(count):
        base = originals[number % len(originals)]
        intact = number % 4 == 0
        other = chance.choice(originals)
        (tmp_path / f"{number:05}.jpg").write_bytes(base if intact else damage(base, other, chance))
    answers = list(read_photos(list(scan([str(tmp_path)])), SIDE, workers=2))
    assert len(answers) == count
    for number, (_, result) in enumerate(answers):
        assert isinstance(result, Photo if number % 4 == 0 else Photo | str), number
        if isinstance(result, Photo):
            assert result.picture.pixels.shape == (SIDE, SIDE, 3)
            assert result.picture.facts.width > 0
        else:
            assert result
            assert "\n" not in result
