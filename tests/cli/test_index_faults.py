"""Runs of `mocosearch index` beside disks that vanish, kills, wrong clocks and lists of files."""

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from light import draw, openvino_encoder
from PIL import ExifTags, Image
from program import PROGRAM, command, environment, make_photos

from indexes import Index
from indexes.store.records import Record, SkippedFile
from indexes.store.txn import Txn
from indexes.sync.dates import UNDATED

SECONDS = 60.0
"""The longest wait for a process."""


class Program:
    """The command with a home and an index of its own, and a tiny encoder."""

    def __init__(self, base: Path, encoder: Path) -> None:
        self.base, self.encoder, self.folder = base, encoder, base / "index"
        self.photos = base / "photos"

    def index(self, *words: object, code: int = 0) -> dict:
        """Run `index`; its counts, or its last lines on stderr where it fails."""
        ended = command(*self._line(*words), "--json", home=self.base)
        assert ended.returncode == code, ended.stderr
        return json.loads(ended.stdout) if ended.stdout else {"stderr": ended.stderr}

    def start(self, *words: object) -> subprocess.Popen:
        """Start `index` with one process that decodes."""
        line = [str(PROGRAM), *map(str, self._line(*words)), "--workers", "1"]
        return subprocess.Popen(line, env=environment(self.base), stderr=subprocess.PIPE, text=True)

    def info(self, *words: object) -> dict:
        ended = command("info", *words, "--index", self.folder, "--json", home=self.base)
        return json.loads(ended.stdout)

    def paths(self) -> list[str]:
        with Index.open(self.folder) as index:
            pairs = list(index.snapshot.txn.items("images"))
            records = [Record.from_bytes(value) for _, value in pairs]
            return sorted(index.roots.path(path) for record in records for path in record.paths)

    def _line(self, *words: object) -> list[object]:
        new = not Index.exists(self.folder)
        return ["index", *words, "--index", self.folder, *["--encoder", self.encoder] * new]


@pytest.fixture
def program(tmp_path: Path, once: Callable) -> Program:
    folder = once("openvino", lambda folder: openvino_encoder(folder / "light"))
    return Program(tmp_path, folder / "light")


def worker_of(process: subprocess.Popen) -> psutil.Process:
    """The process that decodes, once it exists: by then the folders are scanned."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        for child in psutil.Process(process.pid).children():
            if "mocosearch.photos.workers.worker" in child.cmdline():
                return child
        time.sleep(0.005)
    raise AssertionError(f"no process decodes: {process.communicate()[1]}")


# Temporary failures


def test_a_folder_that_disappears_during_a_run_loses_nothing(program: Program) -> None:
    make_photos(program.photos, 6)
    assert program.index(program.photos)["embedded"] == 6
    make_photos(program.photos / "new", 6, seed=1)
    for file in program.photos.glob("*.jpg"):
        file.touch()
        file.write_bytes(file.read_bytes() + b"\0")
    process = program.start(program.photos)
    worker = worker_of(process)
    worker.suspend()
    program.photos.rename(program.base / "away")
    worker.resume()
    stderr = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 1, stderr
    assert f"{program.photos} disappeared while it was read" in stderr
    assert "skipped" not in stderr.replace("0 skipped", "")
    (program.base / "away").rename(program.photos)
    again = program.index(program.photos)
    assert (again["embedded"], again["skipped"]) == (12, 0)


def test_a_file_skipped_for_memory_is_read_by_the_next_run(program: Program) -> None:
    """And one with a damaged header is not, until it changes."""
    make_photos(program.photos, 1)
    (program.photos / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    program.index(program.photos, code=3)
    with Index.create(program.folder, None) as index:
        index.store.write(lambda txn: rewrite_reasons(txn, "bad.jpg", "too large for the memory"))
    make_photos(program.base / "spare", 1, seed=4)[0].rename(program.photos / "other.jpg")
    counts = program.index(program.photos, code=3)
    assert (counts["unchanged"], counts["embedded"], counts["skipped"]) == (1, 1, 1)
    (reason,) = program.info("--skipped")["skipped_files"].values()
    assert "memory" not in reason


def rewrite_reasons(txn: Txn, name: str, reason: str) -> None:
    for key, value in list(txn.items("refused")):
        file = SkippedFile.from_bytes(value)
        if file.path.endswith(name):
            txn.put("refused", bytes(key), replace(file, reason=reason).to_bytes())


# Dates


def dated_photo(folder: Path, date: str) -> Path:
    (file,) = make_photos(folder, 1)
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.DateTimeOriginal: date}
    Image.open(file).save(file, exif=exif, quality=92)
    return file


def test_dates_that_an_earlier_version_dropped_come_back(program: Program) -> None:
    file = dated_photo(program.photos, "2019:07:31 23:59:58")
    make_photos(program.photos / "undated", 2, seed=3)
    program.index(program.photos)
    with Index.create(program.folder, None) as index:

        def forget_dates(txn) -> None:
            txn.delete("meta", UNDATED)
            for key, value in list(txn.items("images")):
                text = bytes(value).replace(b'"2019-07-31T23:59:58"', b"null")
                txn.put("images", bytes(key), text)

        index.store.write(forget_dates)
        assert index.facts(str(file))["taken"] is None
        key = index.keys([index.entry(str(file)).id])
    counts = program.index(program.photos)
    assert (counts["unchanged"], counts["embedded"]) == (3, 0)
    with Index.open(program.folder) as index:
        assert index.facts(str(file))["taken"] == "2019-07-31T23:59:58"
        assert np.array_equal(index.keys([index.entry(str(file)).id]), key)
        assert bytes(index.txn.get("meta", UNDATED)) == b""


# The first run


def test_a_killed_first_run_binds_no_encoder(program: Program) -> None:
    """Without --encoder: the starter would be used, and an encoder is trained after the kill."""
    make_photos(program.photos, 1)
    home, folder = program.base, program.base / "indexes" / "default"
    line = [str(PROGRAM), "index", str(program.photos), "--workers", "1"]
    process = subprocess.Popen(line, env=environment(home), stderr=subprocess.DEVNULL)
    worker_of(process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert Index.exists(folder)
    shutil.copytree(program.encoder, home / "encoders" / "default")
    ended = command("index", program.photos, home=home)
    assert ended.returncode == 0, ended.stderr
    with Index.open(folder) as index:
        assert (
            index.encoder.fingerprint
            == json.loads((program.encoder / "card.json").read_text())["fingerprint"]
        )
        assert len(index) == 1


def test_a_first_run_that_is_killed_keeps_its_first_photos(program: Program) -> None:
    """After 200 photos, or some seconds; the next run fits the whitening on all of them."""
    draw(program.photos, 210)
    line = ["index", program.photos, "--index", program.folder, "--encoder", "starter"]
    process = subprocess.Popen(
        [str(PROGRAM), *map(str, line)], env=environment(program.base), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + SECONDS
    while not (photos := stored(program.folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 0 < photos <= 210
    ended = command(*line[:4], "--json", home=program.base)
    counts = json.loads(ended.stdout)
    assert counts["unchanged"] >= photos
    assert counts["embedded"] + counts["unchanged"] == 210
    with Index.open(program.folder) as index:
        assert index.encoder.card.whitened == 210
    assert "fitted on" not in ended.stderr


def stored(folder: Path) -> int:
    if not Index.exists(folder):
        return 0
    with Index.open(folder) as index:
        return len(index)


# Files as arguments


def test_files_as_arguments_are_followed_like_a_folder(program: Program) -> None:
    files = draw(program.photos, 5)
    elsewhere = make_photos(program.base / "elsewhere", 1)
    assert program.index(*files[:4], *elsewhere)["embedded"] == 5
    assert program.info()["roots"] == sorted(map(str, (program.photos, program.base / "elsewhere")))
    files[1].unlink()
    counts = program.index(files[0], files[2], files[3])
    assert (counts["unchanged"], counts["deleted"]) == (3, 1)
    files[2].unlink()
    counts = program.index(files[2], files[3])
    assert (counts["unchanged"], counts["deleted"]) == (1, 1)
    assert program.paths() == sorted(map(str, (files[0], files[3], *elsewhere)))
    assert "no such" in program.index(program.photos / "typo.png", code=1)["stderr"]


def test_files_as_arguments_in_a_folder_that_is_not_there(program: Program) -> None:
    files = draw(program.photos, 3)
    program.index(*files)
    program.photos.rename(program.base / "unplugged")
    counts = program.index(*files, code=3)
    assert (counts["unchanged"], counts["deleted"]) == (0, 0)
    assert len(program.paths()) == 3
    assert program.index(*files, "--prune")["deleted"] == 3


# Unchanged content


def modes(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_chmod_and_a_copy_in_place_decode_nothing(program: Program) -> None:
    draw(program.photos, 4)
    program.index(program.photos)
    for file in modes(program.photos):
        file.chmod(0o600)
    counts = program.index(program.photos)
    assert (counts["unchanged"], counts["moved"], counts["embedded"]) == (4, 0, 0)
    shutil.copytree(program.photos, program.base / "copy")
    shutil.rmtree(program.photos)
    (program.base / "copy").rename(program.photos)
    counts = program.index(program.photos)
    assert (counts["unchanged"], counts["moved"], counts["embedded"]) == (4, 0, 0)


def test_an_unmounted_disk_is_reported_as_such(program: Program) -> None:
    draw(program.photos, 2)
    program.index(program.photos)
    program.photos.rename(program.base / "unplugged")
    for _ in ("missing", "an empty mount point"):
        ended = command("index", program.photos, "--index", program.folder, home=program.base)
        assert ended.returncode == 3
        assert f"{program.photos} is missing or empty: its photos stay" in ended.stderr
        assert "name a folder with photos" not in ended.stderr
        program.photos.mkdir(exist_ok=True)
    empty = program.base / "empty"
    empty.mkdir()
    assert "name a folder with photos" in program.index(empty, code=1)["stderr"]


def test_files_in_the_place_of_an_unmounted_disk(program: Program) -> None:
    """A program wrote there without noticing. A link stands for the mount."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == program.base.stat().st_dev:
        pytest.skip("no second disk here")
    with tempfile.TemporaryDirectory(dir=memory) as disk:
        draw(Path(disk), 3)
        program.photos.symlink_to(disk)
        program.index(program.photos)
        program.photos.unlink()
        (stray,) = draw(program.photos, 1, first=9)
        ended = command("index", program.photos, "--index", program.folder, home=program.base)
        assert ended.returncode == 3
        assert f"the disk of {program.photos} is not mounted" in ended.stderr
        assert len(program.paths()) == 4
        counts = program.index(program.photos, "--prune")
    assert (counts["deleted"], program.paths()) == (3, [str(stray)])


@pytest.mark.slow
def test_a_jpeg_of_400_megapixels(program: Program) -> None:
    program.photos.mkdir()
    Image.new("RGB", (20_000, 20_000), (40, 90, 160)).save(program.photos / "large.jpg", quality=30)
    assert program.index(program.photos)["embedded"] == 1
    (facts,) = program.info(program.photos / "large.jpg")
    assert (facts["width"], facts["height"]) == (20_000, 20_000)
