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
from mocosearch.photos import Photo, decode, read_photos, scan
from mocosearch.photos.decode import digest_of
from mocosearch.photos.failures import is_temporary
from mocosearch.photos.scan import FileStat
from mocosearch.photos.workers import protocol, reading, worker

SIDE = 16


def list_files(folder: Path) -> list[FileStat]:
    return list(scan([str(folder)]))


def workers() -> list[psutil.Process]:
    processes = []
    for child in psutil.Process().children(recursive=True):
        try:
            if "mocosearch.photos.workers.worker" in child.cmdline():
                processes.append(child)
        except psutil.Error:
            continue
    return processes


def assert_no_workers() -> None:
    until = time.monotonic() + 10
    while workers() and time.monotonic() < until:
        time.sleep(0.05)
    assert not workers()


def test_each_file_has_a_result_in_order(fill, tmp_path):
    fill(tmp_path, range(9))
    (tmp_path / "0003.jpg").write_bytes(b"\xff\xd8\xff broken")
    (tmp_path / "0005.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("only words")
    files = list_files(tmp_path)[::-1]
    answers = list(read_photos(files, SIDE, workers=2))
    assert [stat for stat, _ in answers] == files
    kinds = {os.path.basename(stat.path): type(result) for stat, result in answers}
    assert kinds.pop("notes.txt") is type(None)
    assert kinds.pop("0003.jpg") is kinds.pop("0005.jpg") is str
    assert set(kinds.values()) == {Photo}
    assert_no_workers()


def test_results_equal_those_of_this_process(fill, tmp_path):
    (file,) = fill(tmp_path, [5])
    ((_, content),) = read_photos(list_files(tmp_path), SIDE)
    here = decode(file.read_bytes(), SIDE)
    assert content.digest == digest_of(file.read_bytes())
    assert content.picture.facts == here.facts
    assert np.array_equal(content.picture.pixels, here.pixels)


def test_no_processes_are_started_for_no_files():
    assert list(read_photos([], SIDE)) == []
    assert not workers()


def test_names_that_are_not_utf_8(fill, tmp_path):
    (file,) = fill(tmp_path, [1])
    os.rename(file, os.fsencode(tmp_path) + b"/caf\xe9\n.jpg")
    ((_, content),) = read_photos(list_files(tmp_path), SIDE)
    assert isinstance(content, Photo)


def test_a_file_that_disappears_is_skipped(fill, tmp_path):
    files = fill(tmp_path, range(2))
    stats = list_files(tmp_path)
    files[0].unlink()
    answers = [result for _, result in read_photos(stats, SIDE)]
    assert "No such file" in answers[0]
    assert isinstance(answers[1], Photo)


def run_in_worker(monkeypatch, code: str) -> None:
    """Have every new worker run `code` before it begins."""
    start = subprocess.Popen
    modules = "import os, time\nfrom mocosearch.photos.workers import protocol, worker\n"
    program = f"{modules}{code}\nworker.main()"

    def start_with_code(command, **options):
        return start([command[0], "-c", program, command[-1]], **options)

    monkeypatch.setattr(protocol.subprocess, "Popen", start_with_code)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os._exit(1)", "crashes the decoder"),
        ("os.kill(os.getpid(), 11)", "crashes the decoder"),
        # As the system does when memory runs out.
        ("os.kill(os.getpid(), 9)", "crashed the decoder"),
    ],
)
def test_a_file_that_crashes_its_worker_is_skipped_alone(fill, tmp_path, monkeypatch, end, reason):
    """Only a crash that the bytes cause is remembered."""
    files = [str(file) for file in fill(tmp_path, range(4))]
    code = f"""
read_photo = worker.read_photo
worker.read_photo = lambda p, side: {end} if p == {files[1]!r} else read_photo(p, side)
"""
    run_in_worker(monkeypatch, code)
    answers = list(read_photos(list_files(tmp_path), SIDE, workers=1))
    assert [stat.path for stat, _ in answers] == files
    assert answers[1][1] == reason
    assert is_temporary(reason) == (end == "os.kill(os.getpid(), 9)")
    assert all(isinstance(answers[i][1], Photo) for i in (0, 2, 3))
    assert_no_workers()


def test_a_crash_that_does_not_come_again_costs_no_file(fill, tmp_path, monkeypatch):
    files = fill(tmp_path / "photos", range(3))
    flag = tmp_path / "crashed"
    code = f"""
read_photo = worker.read_photo
def crash_once(path, side):
    if path == {str(files[1])!r} and not os.path.exists({str(flag)!r}):
        open({str(flag)!r}, "w").close()
        os._exit(1)
    return read_photo(path, side)
worker.read_photo = crash_once
"""
    run_in_worker(monkeypatch, code)
    answers = [result for _, result in read_photos(list_files(tmp_path / "photos"), SIDE, 1)]
    assert flag.exists()
    assert all(isinstance(result, Photo) for result in answers)


def test_a_worker_that_dies_between_two_files_costs_none(fill, tmp_path, monkeypatch):
    """Each worker dies as soon as it has sent its first result."""
    code = """
send_result = worker._send_result
worker._send_result = lambda pipe, result: (send_result(pipe, result), os._exit(1))
"""
    fill(tmp_path, range(3))
    run_in_worker(monkeypatch, code)
    answers = [result for _, result in read_photos(list_files(tmp_path), SIDE, workers=1)]
    assert all(isinstance(result, Photo) for result in answers)
    assert_no_workers()


def test_a_time_limit_that_expires_after_the_answer_costs_no_file(fill, tmp_path, monkeypatch):
    """The clock is moved on, and checked, when the first result has just arrived."""
    clock = SimpleNamespace(ahead=0.0, monotonic=lambda: time.monotonic() + clock.ahead)
    monkeypatch.setattr(reading, "time", clock)
    receive_result = worker.receive_result

    def receive_and_expire(pipe, side):
        result = receive_result(pipe, side)
        if not clock.ahead:
            clock.ahead = 2 * reading.TIME_LIMIT
            threading.current_thread().kill_if_late(0)
        return result

    monkeypatch.setattr(worker, "receive_result", receive_and_expire)
    fill(tmp_path, range(4))
    answers = [result for _, result in read_photos(list_files(tmp_path), SIDE, workers=1)]
    assert clock.ahead
    assert all(isinstance(result, Photo) for result in answers)
    assert_no_workers()


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_dies_at_its_start_costs_no_file(fill, tmp_path, monkeypatch, deaths):
    fill(tmp_path, range(3))
    kill_at_start(monkeypatch, deaths)
    answers = [result for _, result in read_photos(list_files(tmp_path), SIDE, workers=1)]
    assert all(isinstance(result, Photo) for result in answers)
    assert_no_workers()


def test_workers_that_never_start_are_an_error(fill, tmp_path, monkeypatch):
    fill(tmp_path, range(3))
    kill_at_start(monkeypatch, 100)
    with pytest.raises(MocosearchError, match="did not start"):
        list(read_photos(list_files(tmp_path), SIDE, workers=1))
    assert_no_workers()


def kill_at_start(monkeypatch, deaths: int) -> None:
    start, left = reading._Reader._new_process, iter(range(deaths))

    def start_and_kill(reader):
        process = start(reader)
        if next(left, None) is not None:
            process.kill()
            process.wait()
        return process

    monkeypatch.setattr(reading._Reader, "_new_process", start_and_kill)


def test_a_file_that_takes_too_long_is_skipped_alone(fill, tmp_path, monkeypatch):
    """The worker is suspended, as if its decoder were in an endless loop."""
    fill(tmp_path, range(200))
    monkeypatch.setattr(reading, "TIME_LIMIT", 2.0)
    monkeypatch.setattr(reading, "READ_AHEAD", 4)
    results = read_photos(list_files(tmp_path), SIDE, workers=1)
    answers = [next(results)[1]]
    workers()[0].suspend()
    answers += [result for _, result in results]
    skipped = [answer for answer in answers if not isinstance(answer, Photo)]
    assert skipped == ["took longer than 2 s"]
    assert len(answers) == 200
    assert_no_workers()


def test_time_while_the_program_is_suspended_does_not_count(fill, tmp_path, monkeypatch):
    """As after Ctrl-Z: the clock has moved on while the worker was at its file."""
    fill(tmp_path, range(40))
    monkeypatch.setattr(reading, "READ_AHEAD", 4)
    clock = SimpleNamespace(ahead=0.0, monotonic=lambda: time.monotonic() + clock.ahead)
    monkeypatch.setattr(reading, "time", clock)
    results = read_photos(list_files(tmp_path), SIDE, workers=1)
    answers = [next(results)[1]]
    (process,) = workers()
    process.suspend()

    def go_on():
        clock.ahead = 100.0
        time.sleep(3 * reading.CHECK_INTERVAL)
        process.resume()

    threading.Timer(0.5, go_on).start()
    answers += [result for _, result in results]
    assert len(answers) == 40
    assert [a for a in answers if not isinstance(a, Photo)] == []


def test_python_files_in_the_current_folder_are_not_imported(fill, tmp_path, monkeypatch):
    """A folder of someone else's photos may contain a json.py."""
    fill(tmp_path / "stick", range(2))
    stats = list_files(tmp_path / "stick")
    for name in ("json", "numpy", "mocosearch"):
        code = f"open({str(tmp_path / 'ran')!r}, 'w')"
        (tmp_path / "stick" / f"{name}.py").write_text(code)
    before = sorted(os.listdir(tmp_path / "stick"))
    monkeypatch.chdir(tmp_path / "stick")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    assert all(isinstance(result, Photo) for _, result in read_photos(stats, SIDE))
    assert not (tmp_path / "ran").exists()
    assert sorted(os.listdir(tmp_path / "stick")) == before


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="Windows has no alarm")
def test_a_worker_without_a_parent_ends_itself():
    """It sleeps at the file `slow`, and answers at once for any other, even after a long pause."""
    code = (
        "import time; from mocosearch.photos.workers import protocol, worker; protocol.ALARM = 1;"
        "worker.read_photo = lambda path, side: time.sleep(60 if path == 'slow' else 0);"
        "worker.main()"
    )
    command = [sys.executable, "-P", "-c", code, str(SIDE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == protocol.READY
        for _ in range(2):
            worker.send_path(process.stdin, "quick")
            assert worker.receive_begin(process.stdout)
            assert worker.receive_result(process.stdout, SIDE) is None
            time.sleep(1.2)
        worker.send_path(process.stdin, "slow")
        assert process.wait(20) == -signal.SIGALRM


def test_pipes_sockets_and_devices_are_not_opened(fill, tmp_path):
    """Opening a pipe may block for ever."""
    fill(tmp_path, [1])
    files = list_files(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.jpg"))
        names = ("pipe.jpg", "socket.jpg", "/dev/zero")
        files += [FileStat(str(tmp_path / name), 1, 1) for name in names]
        answers = [result for _, result in read_photos(files, SIDE)]
    assert isinstance(answers[0], Photo)
    assert answers[1:] == [None, None, None]


def test_dot_underscore_files_of_macos_are_not_pictures(fill, tmp_path):
    (file,) = fill(tmp_path, [1])
    file.rename(tmp_path / "._a.jpg")
    (tmp_path / "._b.jpg").write_bytes(b"\0\5\26\7 resource fork")
    assert [result for _, result in read_photos(list_files(tmp_path), SIDE)] == [None, None]


def test_a_picture_that_exceeds_the_memory_limit_is_skipped(fill, tmp_path, monkeypatch):
    """In a worker that may add 300 MB. The next pictures are read as usual."""
    bmp = io.BytesIO()
    Image.new("RGB", (1, 1)).save(bmp, "BMP")
    large = bmp.getvalue()[:18] + struct.pack("<ii", 15_000, 15_000) + bmp.getvalue()[26:]
    fill(tmp_path, range(2))
    (tmp_path / "0000.jpg").write_bytes(large)
    run_in_worker(monkeypatch, "protocol.MEMORY_LIMIT = 300_000_000")
    answers = [result for _, result in read_photos(list_files(tmp_path), SIDE, workers=1)]
    assert answers[0] == "too large for the memory"
    assert isinstance(answers[1], Photo)


def test_closing_early_ends_the_processes(fill, tmp_path):
    fill(tmp_path, range(60))
    results = read_photos(list_files(tmp_path), SIDE, workers=2)
    next(results)
    assert workers()
    results.close()
    assert_no_workers()


def test_closing_while_every_reader_waits_for_a_slot(fill, tmp_path, monkeypatch):
    """A reader that is woken up early has time to read a file and wait again."""
    kill = subprocess.Popen.kill

    def kill_slowly(process):
        time.sleep(0.2)
        kill(process)

    monkeypatch.setattr(subprocess.Popen, "kill", kill_slowly)
    monkeypatch.setattr(reading, "READ_AHEAD", 2)
    fill(tmp_path, range(12))
    for _ in range(4):
        results = read_photos(list(scan([str(tmp_path)])), 8, 2)
        next(results)
        time.sleep(0.5)
        closing = threading.Thread(target=results.close, daemon=True)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()


def test_more_files_than_slots(fill, tmp_path, monkeypatch):
    fill(tmp_path, range(30))
    monkeypatch.setattr(reading, "READ_AHEAD", 4)
    assert len(list(read_photos(list_files(tmp_path), SIDE, workers=2))) == 30


def test_pipes_are_closed(fill, tmp_path):
    fill(tmp_path, range(2))
    gc.collect()
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        list(read_photos(list_files(tmp_path), SIDE, workers=1))
        gc.collect()
    assert [str(w.message) for w in records] == []


def test_file_descriptors_are_closed(fill, tmp_path):
    fill(tmp_path, range(2))
    list(read_photos(list_files(tmp_path), SIDE, workers=1))
    before = psutil.Process().num_fds()
    for _ in range(3):
        list(read_photos(list_files(tmp_path), SIDE, workers=1))
    assert psutil.Process().num_fds() <= before
