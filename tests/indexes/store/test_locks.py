"""One program at a time changes an index."""

import os
import threading

import pytest

from indexes.store.locks import WriterLock
from mocosearch.errors import Busy


def test_a_second_writer_learns_who_the_first_is(tmp_path):
    lock = WriterLock(tmp_path / "index")
    with pytest.raises(Busy, match=f"process {os.getpid()}"):
        WriterLock(tmp_path / "index")
    with pytest.raises(Busy):
        WriterLock(tmp_path / "index", seconds=0.2)
    lock.release()
    WriterLock(tmp_path / "index").release()


def test_a_second_writer_waits(tmp_path):
    lock = WriterLock(tmp_path)
    timer = threading.Timer(0.3, lock.release)
    timer.start()
    WriterLock(tmp_path, seconds=300).release()
    assert timer.finished.is_set()
