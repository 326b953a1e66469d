"""A folder that changes before and while it is indexed: after a run, every readable photo is in the
index, and nothing else.
"""

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from light import SIDE, draw, encode, light, read_in_process, use_light_encoders

from indexes import Index
from indexes.store.environment import Store
from indexes.sync import embed
from indexes.verify import look
from mocosearch.photos import decode

SIZE = 4096
"""Bytes of every file: sizes tell nothing."""
PHOTOS = 5
TICK = 0.01
"""Seconds after which a change of a file has another time in every file system."""
LONGEST = 20.0
"""Seconds for a process that is to be killed."""
SLOTS = [
    os.path.join(folder, f"{name}.png")
    for folder in ("", "a", "b", "a/c", "../outside")
    for name in range(3)
]
FOLDERS = ["a", "b", "a/c", "d", "../outside"]

slots, folders = st.sampled_from(SLOTS), st.sampled_from(FOLDERS)
contents = st.integers(-1, PHOTOS - 1)
"""The number of a picture, or -1 for a damaged one."""


def changes() -> st.SearchStrategy[tuple]:
    """The name of a method of `Tree` and its arguments."""
    return st.one_of(
        st.tuples(st.just("write"), slots, contents),
        st.tuples(st.just("write"), slots, contents),
        st.tuples(st.just("replace_with_old_times"), slots, contents),
        st.tuples(st.sampled_from(["move", "copy", "hard_link", "link"]), slots, slots),
        st.tuples(st.sampled_from(["move_folder", "link_folder"]), folders, folders),
        st.tuples(st.sampled_from(["remove", "chmod", "touch"]), slots),
        st.tuples(st.just("remove_folder"), folders),
    )


class Tree:
    """A folder of photos, and one beside it that only links lead to."""

    def __init__(self, base: Path) -> None:
        self.top = base / "photos"
        (self.top).mkdir()
        # A folder without any file would count as a disk that is not mounted.
        (self.top / "notes.txt").write_text("words")
        (base / "outside").mkdir()
        pictures = [file.read_bytes() for file in draw(base / "drawn", PHOTOS)]
        self.contents = [data + bytes(SIZE - len(data)) for data in pictures]
        self.damaged = b"\x89PNG\r\n\x1a\n" + bytes(SIZE - 8)

    def apply(self, change: tuple) -> None:
        """Change something; what is impossible changes nothing."""
        name, *arguments = change
        time.sleep(TICK)
        with contextlib.suppress(OSError, shutil.SameFileError):
            getattr(self, name)(*arguments)

    def write(self, slot: str, content: int) -> None:
        path = self.top / slot
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(self._data(content))

    def replace_with_old_times(self, slot: str, content: int) -> None:
        times = (self.top / slot).stat()
        (self.top / slot).write_bytes(self._data(content))
        os.utime(self.top / slot, ns=(times.st_atime_ns, times.st_mtime_ns))

    def move(self, slot: str, to: str) -> None:
        (self.top / slot).replace(self.top / to)

    def copy(self, slot: str, to: str) -> None:
        shutil.copy2(self.top / slot, self.top / to)

    def hard_link(self, slot: str, to: str) -> None:
        os.link(self.top / slot, self.top / to)

    def link(self, slot: str, to: str) -> None:
        (self.top / to).symlink_to(self.top / slot)

    def link_folder(self, folder: str, to: str) -> None:
        (self.top / to).symlink_to(self.top / folder)

    def move_folder(self, folder: str, to: str) -> None:
        (self.top / folder).rename(self.top / to)

    def remove(self, slot: str) -> None:
        (self.top / slot).unlink()

    def remove_folder(self, folder: str) -> None:
        if (self.top / folder).is_symlink():
            (self.top / folder).unlink()
        else:
            shutil.rmtree(self.top / folder)
        (self.top / "../outside").mkdir(exist_ok=True)

    def chmod(self, slot: str) -> None:
        (self.top / slot).chmod(0o600 ^ (self.top / slot).stat().st_mode & 0o044)

    def touch(self, slot: str) -> None:
        os.utime(self.top / slot)

    def _data(self, content: int) -> bytes:
        return self.damaged if content < 0 else self.contents[content]

    def photos(self) -> dict[str, bytes]:
        """The content of each readable photo by its real path."""
        found, visited = {}, set()
        for folder, names, files in os.walk(self.top, followlinks=True):
            real = os.path.realpath(folder)
            if real in visited:
                names.clear()
                continue
            visited.add(real)
            for file in (os.path.realpath(os.path.join(folder, name)) for name in files):
                data = Path(file).read_bytes() if os.path.isfile(file) else b""
                if data in self.contents:
                    found[file] = data
        return found


class FolderMachine(RuleBasedStateMachine):
    """Changes, runs, kills and queries in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.base = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        use_light_encoders(self.patch)
        self.patch.setattr(embed, "read_photos", read_in_process)
        for name in ("FIRST_BATCH", "COMMIT_BATCH"):
            self.patch.setattr(embed, name, 2)
        self.tree = Tree(self.base)
        self.keys = encode(light(1), np.stack([self._pixels(d) for d in self.tree.contents]))
        self.index = Index.create(self.base / "index", light(1))

    def teardown(self) -> None:
        try:
            self.run_the_index()
        finally:
            self.index.close()
            self.patch.undo()
            shutil.rmtree(self.base, ignore_errors=True)

    @initialize(start=st.lists(st.tuples(st.just("write"), slots, contents), max_size=8))
    def fill(self, start: list[tuple]) -> None:
        for change in start:
            self.tree.apply(change)

    @rule(some=st.lists(changes(), min_size=1, max_size=4))
    def change(self, some: list[tuple]) -> None:
        for one in some:
            self.tree.apply(one)

    @rule()
    def run_the_index(self) -> None:
        self.index.sync([self.tree.top], workers=1)
        self.assert_complete()
        again = self.index.sync([self.tree.top], workers=1)
        assert (again.embedded, again.moved, again.deleted) == (0, 0, 0)

    @rule(some=st.lists(changes(), min_size=1, max_size=4))
    def change_while_it_is_indexed(self, some: list[tuple]) -> None:
        left = iter(some)

        def change_one() -> bool:
            if (one := next(left, None)) is not None:
                self.tree.apply(one)
            return False

        self.index.sync([self.tree.top], workers=1, stopped=change_one)
        self.run_the_index()

    @rule(some=st.lists(slots, min_size=1, max_size=3))
    def run_the_index_with_files(self, some: list[str]) -> None:
        files = [self.tree.top / slot for slot in some if not slot.startswith("..")]
        files = [file for file in files if file.is_file() and not file.is_symlink()]
        if files:
            self.index.sync(files, workers=1)
        photos = self.tree.photos()
        for file in files:
            assert bool(self.index.entry(str(file))) == (os.path.realpath(file) in photos)

    @rule(at=st.integers(1, 12))
    def kill(self, at: int) -> None:
        """A run in another process, killed at its write number `at`, before or after it."""
        self.index.close()
        if (child := os.fork()) == 0:
            self._run_until_killed(at)
        wait(child)
        self.index = Index.create(self.base / "index", light(1))
        assert list(look(self.index)) == []

    def _run_until_killed(self, at: int) -> None:
        write, count = Store.write, iter(range(1, 1000))

        def write_or_die(store: Store, change: Callable) -> object:
            number = next(count)
            if number == at and at % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = write(store, change)
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        try:
            Store.write = write_or_die
            with Index.create(self.base / "index", light(1)) as index:
                index.sync([self.tree.top], workers=1)
        finally:
            os._exit(0)

    @invariant()
    def queries_are_answered(self) -> None:
        for matches in self.index.query(self.keys, 3):
            assert len({match.id for match in matches}) == len(matches)

    def assert_complete(self) -> None:
        """Every readable photo is in the index with its content, and is its own best match."""
        photos = self.tree.photos()
        matches = {
            self._pixels(d).tobytes(): m
            for d, m in zip(self.tree.contents, self.index.query(self.keys, 1), strict=True)
        }
        paths: list[str] = []
        for id in {match[0].id for match in matches.values() if match}:
            paths += self.index.record(id).paths
        real = [os.path.realpath(path) for path in paths]
        assert len(self.index) == len(set(photos.values()))
        assert sorted(real) == sorted(photos)
        for file, data in photos.items():
            (best,) = matches[self._pixels(data).tobytes()]
            assert best.score > 0.999
            assert file in map(os.path.realpath, self.index.record(best.id).paths)
        assert list(look(self.index)) == []

    def _pixels(self, data: bytes) -> np.ndarray:
        return decode(data, SIDE).pixels


def wait(process: int) -> None:
    """Wait for a child process, and end it after LONGEST seconds."""
    deadline = time.monotonic() + LONGEST
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(process, signal.SIGKILL)
            deadline += LONGEST
        time.sleep(0.01)
