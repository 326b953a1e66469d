import gc
import os
import time
import warnings
from pathlib import Path

import numpy as np
import psutil

from mocosearch.photos import Content, decode, outcomes, reading, scan
from mocosearch.photos.decode import digest_of
from mocosearch.photos.scan import Found

SIDE = 16


def listed(folder: Path) -> list[Found]:
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
    answers = list(outcomes(files, SIDE, workers=2))
    assert [found for found, _ in answers] == files
    kinds = {os.path.basename(f.path): type(o) for f, o in answers}
    assert kinds.pop("notes.txt") is type(None)
    assert kinds.pop("0003.jpg") is kinds.pop("0005.jpg") is str
    assert set(kinds.values()) == {Content}
    assert_no_workers()


def test_answers_are_those_of_this_process(fill, tmp_path):
    (file,) = fill(tmp_path, [5])
    ((_, content),) = outcomes(listed(tmp_path), SIDE)
    here = decode(file.read_bytes(), SIDE)
    assert content.digest == digest_of(file.read_bytes())
    assert content.picture.facts == here.facts
    assert np.array_equal(content.picture.pixels, here.pixels)


def test_no_files_no_processes():
    assert list(outcomes([], SIDE)) == []
    assert not workers()


def test_names_in_broken_encodings(fill, tmp_path):
    (file,) = fill(tmp_path, [1])
    os.rename(file, os.fsencode(tmp_path) + b"/caf\xe9\n.jpg")
    ((_, content),) = outcomes(listed(tmp_path), SIDE)
    assert isinstance(content, Content)


def test_a_file_that_goes_away_is_refused(fill, tmp_path):
    files = fill(tmp_path, range(2))
    found = listed(tmp_path)
    files[0].unlink()
    answers = [outcome for _, outcome in outcomes(found, SIDE)]
    assert "No such file" in answers[0]
    assert isinstance(answers[1], Content)


def test_a_killed_worker_costs_one_file(fill, tmp_path, picture):
    for seed in range(120):
        picture(seed, 500, 400).save(tmp_path / f"{seed:03}.png", compress_level=0)
    files = listed(tmp_path)
    answers = []
    for n, answer in enumerate(outcomes(files, SIDE, workers=2)):
        answers.append(answer)
        if n == 3:
            workers()[0].kill()
    assert [found for found, _ in answers] == files
    lost = [o for _, o in answers if not isinstance(o, Content)]
    assert lost in ([], ["crashed the decoder"])
    assert_no_workers()


def test_a_slow_file_is_given_up(fill, tmp_path, monkeypatch):
    """A pipe keeps its reader waiting for ever, as a looping decoder would."""
    fill(tmp_path, range(3))
    files = listed(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    files.insert(1, Found(str(tmp_path / "pipe.jpg"), 1, 1))
    monkeypatch.setattr(reading, "SECONDS", 3.0)
    answers = [outcome for _, outcome in outcomes(files, SIDE, workers=1)]
    assert answers[1] == "took longer than 3 s"
    assert all(isinstance(answers[i], Content) for i in (0, 2, 3))
    assert_no_workers()


def test_closing_early_leaves_no_processes(fill, tmp_path):
    fill(tmp_path, range(60))
    running = outcomes(listed(tmp_path), SIDE, workers=2)
    next(running)
    assert workers()
    running.close()
    assert_no_workers()


def test_more_files_than_may_wait(fill, tmp_path, monkeypatch):
    fill(tmp_path, range(30))
    monkeypatch.setattr(reading, "WAITING", 4)
    assert len(list(outcomes(listed(tmp_path), SIDE, workers=2))) == 30


def test_pipes_are_closed(fill, tmp_path):
    fill(tmp_path, range(2))
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(outcomes(listed(tmp_path), SIDE, workers=1))
        gc.collect()
    assert [str(w.message) for w in caught] == []


def test_open_files_do_not_pile_up(fill, tmp_path):
    fill(tmp_path, range(2))
    list(outcomes(listed(tmp_path), SIDE, workers=1))
    before = psutil.Process().num_fds()
    for _ in range(3):
        list(outcomes(listed(tmp_path), SIDE, workers=1))
    assert psutil.Process().num_fds() <= before
