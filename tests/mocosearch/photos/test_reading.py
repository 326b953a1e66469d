import gc
import io
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from PIL import Image

from mocosearch.errors import MocosearchError
from mocosearch.photos import Photo, decode, read_photos, reading, scan, worker
from mocosearch.photos.decode import digest_of
from mocosearch.photos.scan import FileStat

SIDE = 16


def listed(folder: Path) -> list[FileStat]:
    return list(scan([str(folder)]))


def workers() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "mocosearch.photos.worker" in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def assert_no_workers() -> None:
    until = time.monotonic() + 10
    while workers() and time.monotonic() < until:
        time.sleep(0.05)
    assert not workers()


def test_an_outcome_for_each_file_in_order(fill, tmp_path):
    fill(tmp_path, range(9))
    (tmp_path / "0003.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "0005.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("words, and no picture")
    files = listed(tmp_path)[::-1]
    answers = list(read_photos(files, SIDE, workers=2))
    assert [found for found, _ in answers] == files
    kinds = {os.path.basename(f.path): type(o) for f, o in answers}
    assert kinds.pop("notes.txt") is type(None)
    assert kinds.pop("0003.jpg") is kinds.pop("0005.jpg") is str
    assert set(kinds.values()) == {Photo}
    assert_no_workers()


def test_answers_are_those_of_this_process(fill, tmp_path):
    (file,) = fill(tmp_path, [5])
    ((_, content),) = read_photos(listed(tmp_path), SIDE)
    here = decode(file.read_bytes(), SIDE)
    assert content.digest == digest_of(file.read_bytes())
    assert content.picture.facts == here.facts
    assert np.array_equal(content.picture.pixels, here.pixels)


def test_no_files_no_processes():
    assert list(read_photos([], SIDE)) == []
    assert not workers()


def test_names_in_broken_encodings(fill, tmp_path):
    (file,) = fill(tmp_path, [1])
    os.rename(file, os.fsencode(tmp_path) + b"/caf\xe9\n.jpg")
    ((_, content),) = read_photos(listed(tmp_path), SIDE)
    assert isinstance(content, Photo)


def test_a_file_that_goes_away_is_refused(fill, tmp_path):
    files = fill(tmp_path, range(2))
    found = listed(tmp_path)
    files[0].unlink()
    answers = [outcome for _, outcome in read_photos(found, SIDE)]
    assert "No such file" in answers[0]
    assert isinstance(answers[1], Photo)


def test_a_killed_worker_costs_one_file(tmp_path, picture, monkeypatch):
    for seed in range(40):
        picture(seed, 500, 400).save(tmp_path / f"{seed:03}.png", compress_level=0)
    files = listed(tmp_path)
    # So few that none has gone through all files before it is killed.
    monkeypatch.setattr(reading, "WAITING", 4)
    answers = []
    # One alone has begun by then; of two, one may still be starting, which costs no file.
    for n, answer in enumerate(read_photos(files, SIDE, workers=1)):
        answers.append(answer)
        if n == 3:
            workers()[0].kill()
    assert [found for found, _ in answers] == files
    lost = [o for _, o in answers if not isinstance(o, Photo)]
    assert lost == ["crashed the decoder"]
    assert_no_workers()


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_dies_at_its_start_costs_no_file(fill, tmp_path, monkeypatch, deaths):
    fill(tmp_path, range(3))
    dying_at_start(monkeypatch, deaths)
    answers = [outcome for _, outcome in read_photos(listed(tmp_path), SIDE, workers=1)]
    assert all(isinstance(outcome, Photo) for outcome in answers)
    assert_no_workers()


def test_workers_that_never_start_are_an_error(fill, tmp_path, monkeypatch):
    fill(tmp_path, range(3))
    dying_at_start(monkeypatch, 100)
    with pytest.raises(MocosearchError, match="did not start"):
        list(read_photos(listed(tmp_path), SIDE, workers=1))
    assert_no_workers()


def dying_at_start(monkeypatch, deaths: int) -> None:
    start, left = reading._Reader._process, iter(range(deaths))

    def dying(reader):
        process = start(reader)
        if next(left, None) is not None:
            process.kill()
            process.wait()
        return process

    monkeypatch.setattr(reading._Reader, "_process", dying)


def test_a_worker_that_hangs_costs_one_file(fill, tmp_path, monkeypatch):
    """It is stopped from outside, and looks as if its decoder ran in a circle."""
    fill(tmp_path, range(200))
    monkeypatch.setattr(reading, "SECONDS", 2.0)
    monkeypatch.setattr(reading, "WAITING", 4)
    running = read_photos(listed(tmp_path), SIDE, workers=1)
    answers = [next(running)[1]]
    workers()[0].suspend()
    answers += [outcome for _, outcome in running]
    lost = [answer for answer in answers if not isinstance(answer, Photo)]
    assert lost == ["took longer than 2 s"]
    assert len(answers) == 200
    assert_no_workers()


def test_time_that_the_program_stood_still_does_not_count(fill, tmp_path, monkeypatch):
    """As after Ctrl-Z: the clock has gone on, and the worker has been at its file all the while."""
    fill(tmp_path, range(40))
    monkeypatch.setattr(reading, "WAITING", 4)
    clock = SimpleNamespace(ahead=0.0, monotonic=lambda: time.monotonic() + clock.ahead)
    monkeypatch.setattr(reading, "time", clock)
    running = read_photos(listed(tmp_path), SIDE, workers=1)
    answers = [next(running)[1]]
    (process,) = workers()
    process.suspend()

    def go_on():
        clock.ahead = 100.0
        time.sleep(3 * reading.LOOK)
        process.resume()

    threading.Timer(0.5, go_on).start()
    answers += [outcome for _, outcome in running]
    assert len(answers) == 40
    assert [a for a in answers if not isinstance(a, Photo)] == []


def test_what_lies_in_the_current_folder_is_no_part_of_the_program(fill, tmp_path, monkeypatch):
    """Photos of a stranger's may lie beside a json.py."""
    fill(tmp_path / "stick", range(2))
    found = listed(tmp_path / "stick")
    for name in ("json", "numpy", "mocosearch"):
        said = f"open({str(tmp_path / 'ran')!r}, 'w')"
        (tmp_path / "stick" / f"{name}.py").write_text(said)
    before = sorted(os.listdir(tmp_path / "stick"))
    monkeypatch.chdir(tmp_path / "stick")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    assert all(isinstance(outcome, Photo) for _, outcome in read_photos(found, SIDE))
    assert not (tmp_path / "ran").exists()
    assert sorted(os.listdir(tmp_path / "stick")) == before


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="Windows has no such alarm")
def test_a_worker_ends_itself_where_no_parent_does():
    """It sleeps over the file `slow`, and answers any other at once, however late that comes."""
    code = (
        "import time; from mocosearch.photos import worker; worker.ALONE = 1;"
        "worker.read_photo = lambda path, side: time.sleep(60 if path == 'slow' else 0);"
        "worker.main()"
    )
    command = [sys.executable, "-P", "-c", code, str(SIDE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == worker.READY
        for _ in range(2):
            worker.ask(process.stdin, "quick")
            assert worker.answer_from(process.stdout, SIDE) is None
            time.sleep(1.2)
        worker.ask(process.stdin, "slow")
        assert process.wait(20) == -signal.SIGALRM


def test_what_is_no_file_is_never_opened(fill, tmp_path):
    """Opening a pipe would wait for ever, and a device may do anything."""
    fill(tmp_path, [1])
    files = listed(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        names = ("pipe.jpg", "socket.jpg", "/dev/zero")
        files += [FileStat(str(tmp_path / name), 1, 1) for name in names]
        answers = [outcome for _, outcome in read_photos(files, SIDE)]
    assert isinstance(answers[0], Photo)
    assert answers[1:] == [None, None, None]


def test_files_of_the_mac_are_no_pictures(fill, tmp_path):
    (file,) = fill(tmp_path, [1])
    file.rename(tmp_path / "._a.jpg")
    (tmp_path / "._b.jpg").write_bytes(b"\0\5\26\7 resource fork")
    assert [outcome for _, outcome in read_photos(listed(tmp_path), SIDE)] == [None, None]


def test_a_picture_over_the_memory_is_refused(fill, tmp_path, monkeypatch):
    """In a worker that may add 300 MB; the pictures after it are read all the same."""
    bmp = io.BytesIO()
    Image.new("RGB", (1, 1)).save(bmp, "BMP")
    large = bmp.getvalue()[:18] + struct.pack("<ii", 15_000, 15_000) + bmp.getvalue()[26:]
    fill(tmp_path, range(2))
    (tmp_path / "0000.jpg").write_bytes(large)
    code = "from mocosearch.photos import worker; worker.MEMORY = 300_000_000; worker.main()"
    started = subprocess.Popen

    def small(command, **options):
        return started([command[0], "-c", code, command[-1]], **options)

    monkeypatch.setattr(reading.subprocess, "Popen", small)
    answers = [outcome for _, outcome in read_photos(listed(tmp_path), SIDE, workers=1)]
    assert answers[0] == "too large for the memory"
    assert isinstance(answers[1], Photo)


def test_closing_early_leaves_no_processes(fill, tmp_path):
    fill(tmp_path, range(60))
    running = read_photos(listed(tmp_path), SIDE, workers=2)
    next(running)
    assert workers()
    running.close()
    assert_no_workers()


def test_closing_while_every_reader_waits_for_room(fill, tmp_path, monkeypatch):
    """And one that is woken early has time to read a file, and to wait again."""
    kill = subprocess.Popen.kill

    def slowly(process):
        time.sleep(0.2)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, "kill", slowly)
    monkeypatch.setattr(reading, "WAITING", 2)
    fill(tmp_path, range(12))
    for _ in range(4):
        running = read_photos(list(scan([str(tmp_path)])), 8, 2)
        next(running)
        time.sleep(0.5)
        closing = threading.Thread(target=running.close, daemon=True)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()


def test_more_files_than_may_wait(fill, tmp_path, monkeypatch):
    fill(tmp_path, range(30))
    monkeypatch.setattr(reading, "WAITING", 4)
    assert len(list(read_photos(listed(tmp_path), SIDE, workers=2))) == 30


def test_pipes_are_closed(fill, tmp_path):
    fill(tmp_path, range(2))
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(read_photos(listed(tmp_path), SIDE, workers=1))
        gc.collect()
    assert [str(w.message) for w in caught] == []


def test_open_files_do_not_pile_up(fill, tmp_path):
    fill(tmp_path, range(2))
    list(read_photos(listed(tmp_path), SIDE, workers=1))
    before = psutil.Process().num_fds()
    for _ in range(3):
        list(read_photos(listed(tmp_path), SIDE, workers=1))
    assert psutil.Process().num_fds() <= before
