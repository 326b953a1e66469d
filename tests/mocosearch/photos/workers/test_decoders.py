"""Single pictures in worker processes: the same pixels, limits, and files that crash or block."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mocosearch.errors import Unreadable, Unsuitable
from mocosearch.photos.decode import digest_of
from mocosearch.photos.squares import Crop, squares
from mocosearch.photos.workers import protocol
from mocosearch.photos.workers.decoders import Decoders, Limits


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    some = Decoders(1)
    yield some
    some.close()


@pytest.fixture
def file(tmp_path: Path, picture: Callable[..., Image.Image]) -> Path:
    path = tmp_path / "a.jpg"
    picture(1, 300, 200).save(path, quality=92)
    return path


@pytest.mark.parametrize("crop", [None, Crop(10, 20, 100, 90), Crop(0.1, 0, 0.5, 0.5, True)])
def test_squares_are_those_of_this_process(
    decoders: Decoders, file: Path, crop: Crop | None
) -> None:
    data = file.read_bytes()
    expected = squares(data, 64, crop, borders=True)
    for source in (data, str(file)):
        result = decoders.squares(source, 64, crop, borders=True)
        assert result.digest == digest_of(data).hex()
        assert len(result.pixels) == len(expected)
        for one, other in zip(result.pixels, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_thumbnail_fits_and_keeps_proportions(decoders: Decoders, file: Path) -> None:
    with Image.open(io.BytesIO(decoders.jpeg(str(file), 90))) as small:
        assert (small.format, small.size) == ("JPEG", (90, 60))


def test_files_that_are_no_pictures_have_a_reason(decoders: Decoders, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "text.jpg").write_text("text")
    for source in (
        b"",
        b"text",
        str(tmp_path / "none"),
        str(tmp_path / "pipe.jpg"),
        str(tmp_path / "text.jpg"),
        str(tmp_path),
    ):
        with pytest.raises(Unreadable):
            decoders.jpeg(source, 90)


def test_limits_are_checked_before_the_pixels(decoders: Decoders, file: Path) -> None:
    data = file.read_bytes()
    assert decoders.jpeg(data, 90, Limits(len(data), 60_000))
    with pytest.raises(Unreadable, match="larger than"):
        decoders.jpeg(data, 90, Limits(len(data) - 1, 60_000))
    with pytest.raises(Unreadable, match="300 x 200 pixels, over the limit"):
        decoders.jpeg(data, 90, Limits(len(data), 59_999))


def test_a_region_outside_is_unsuitable(decoders: Decoders, file: Path) -> None:
    with pytest.raises(Unsuitable, match="outside"):
        decoders.squares(str(file), 64, Crop(999, 999, 5, 5), borders=False)


def test_the_next_picture_is_decoded_after_a_crash(decoders: Decoders, file: Path) -> None:
    worker = decoders._workers[0]
    for _ in range(2):
        decoders.jpeg(str(file), 90)
        assert worker._process is not None
        worker._process.kill()
        worker._process.wait()
        assert decoders.jpeg(str(file), 90)


def test_a_decoder_that_blocks_is_killed(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mocosearch.photos.workers.decoders.TIME_LIMIT", 0.2)
    some = Decoders(1)
    # A worker that takes the request and never answers.
    monkeypatch.setattr(
        protocol.processes,
        "command",
        lambda module: ["sh", "-c", "echo ready; exec sleep 60"],
    )
    with pytest.raises(Unreadable, match="took longer than"):
        some.jpeg(str(file), 90)
    monkeypatch.undo()
    assert some.jpeg(str(file), 90)
    some.close()


def test_threads_share_the_processes(file: Path) -> None:
    some, sizes = Decoders(2), []

    def run() -> None:
        sizes.extend(len(some.jpeg(str(file), 90)) for _ in range(5))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sizes) == 30
    assert len(set(sizes)) == 1
    some.close()
