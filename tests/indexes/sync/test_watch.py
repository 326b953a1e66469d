"""Changes wait until they have come to rest; folders are followed on the real file system."""

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import Index
from indexes.sync import watch
from indexes.sync.watch import Change, Follower, Pace, Pending, places

PACE = Pace(quiet=2, patience=30)
SECONDS = 60
"""Limit for a change to come."""


def test_a_burst_is_taken_once_when_it_has_come_to_rest():
    pending = Pending(PACE)
    assert pending.take(0) is None
    for second in range(5):
        pending.add("/a", f"/a/{second}.jpg", second)
        assert pending.take(second + 1.9) is None
    pending.add("/b", "/b", 5)
    assert pending.take(7) == Change(["/a", "/b"], [])
    assert pending.take(8) is None


def test_what_is_still_being_written_does_not_hold_up_the_others():
    pending = Pending(PACE)
    pending.add("/a", "/a/done.jpg", 0)
    for second in range(30):
        pending.add("/a", "/a/long.tif", second)
        assert pending.take(second + 0.5) is None
    assert pending.take(30.5) == Change(["/a"], ["/a/long.tif"])
    assert pending.take(30.6) is None
    assert pending.take(31) == Change(["/a"], [])
    assert pending.take(32) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.floats(0, 5)), max_size=60))
def test_every_change_is_taken_after_it_has_come_to_rest(steps):
    """Each event is followed by a scan that does not exclude its file."""
    pending, now, events, scans = Pending(PACE), 0.0, [], []
    for root, file, pause in [*steps, (0, 0, 40.0), (0, 0, 40.0)]:
        now += pause
        change = pending.take(now)
        if change is not None:
            scans.append((now, change))
        if pause < 40:
            pending.add(f"/{root}", f"/{root}/{file}", now)
            events.append((now, f"/{root}", f"/{root}/{file}"))
    for when, root, path in events:
        assert any(
            at >= when + PACE.quiet and root in change.roots and path not in change.writing
            for at, change in scans
        )


def test_files_in_progress_are_patterns_of_their_names(tmp_path):
    (tmp_path / "a[1]").mkdir()
    file = tmp_path / "a[1]" / "b*.jpg"
    file.touch()
    change = Change([str(tmp_path)], [str(file), str(tmp_path / "a[1]"), str(tmp_path / "gone")])
    assert change.patterns() == [os.path.join("a[[]1]", "b[*].jpg")]


class Following:
    """A follower in another thread, which brings an index up to date as the command does."""

    def __init__(self, folder: Path, **pace: float) -> None:
        self.stop, self.notices, self.counts = threading.Event(), [], []
        self.folder = folder
        follower = Follower(self.load, folder, self.stop, self.notices.append, Pace(**pace))
        self.thread = threading.Thread(target=self.run, args=[follower])

    def load(self):
        with Index.open(self.folder) as index:
            return places(index.snapshot)

    def run(self, follower: Follower) -> None:
        for change in follower.changes():
            with Index.open(self.folder, writable=True) as index:
                self.counts.append(index.sync(change.roots, exclude=change.patterns(), workers=1))

    def wait(self, **sums: int) -> None:
        """Until the counts since the last call add up to these."""
        self.wait_for(lambda: self.sums(*sums) == sums)
        self.counts.clear()

    def sums(self, *names: str) -> dict[str, int]:
        return {name: sum(getattr(count, name) for count in self.counts) for name in names}

    def wait_for(self, condition) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end, self.counts
            assert self.thread.is_alive()
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        self.wait(unchanged=len(list(self.folder.parent.rglob("*.jpg"))))
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()


@pytest.fixture
def indexed(encoder, fill, tmp_path):
    """The folder of an index over six photos."""
    fill(tmp_path / "photos" / "a", range(6))
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path / "photos"], workers=1)
    return tmp_path / "index"


def test_photos_come_move_and_go(indexed, fill):
    photos = indexed.parent / "photos"
    with Following(indexed, quiet=0.2, check=0.2) as following:
        fill(photos / "new" / "deep", range(10, 13))
        following.wait(embedded=3)
        (photos / "a").rename(photos / "b")
        following.wait(moved=6, embedded=0)
        (photos / "new" / "deep" / "0010.jpg").unlink()
        following.wait(deleted=1)


def test_a_disk_that_is_unplugged_and_comes_back(indexed, fill):
    photos = indexed.parent / "photos"
    with Following(indexed, quiet=0.2, check=0.1) as following:
        photos.rename(photos.with_name("away"))
        following.wait_for(lambda: any(c.absent == [str(photos)] for c in following.counts))
        fill(photos.with_name("away"), [20])
        photos.with_name("away").rename(photos)
        following.wait(embedded=1, deleted=0)
        fill(photos, [21])
        following.wait(embedded=1, deleted=0)


def test_a_network_disk_is_scanned_again_and_again(indexed, fill, monkeypatch):
    monkeypatch.setattr(watch, "network_disk", lambda root: "nfs4")
    monkeypatch.setattr(watch, "_load_watch", lambda: None)
    with Following(indexed, quiet=0.1, poll=0.2) as following:
        fill(indexed.parent / "photos", [20])
        following.wait(embedded=1)


def test_folders_beyond_the_limit_of_the_system_are_scanned(indexed, fill, monkeypatch):
    def watch_nothing(*roots, ignore_permission_denied, **options):
        # watchfiles hides the limit, too, where unreadable folders are to be ignored.
        if not ignore_permission_denied:
            raise OSError(f"OS file watch limit reached. about {roots} (Error {{ kind: ... }})")
        while not options["stop_event"].wait(0.1):
            yield []

    monkeypatch.setattr(watch, "_load_watch", lambda: watch_nothing)
    with Following(indexed, quiet=0.1, poll=0.2) as following:
        fill(indexed.parent / "photos", [20])
        following.wait(embedded=1)
        assert "watch limit reached; scanning them" in following.notices[0]


def test_an_unreadable_folder_does_not_keep_the_others_from_being_watched(
    indexed, fill, monkeypatch
):
    real = watch._load_watch()

    def watch_or_fail(*roots, ignore_permission_denied, **options):
        if not ignore_permission_denied:
            raise PermissionError("Permission denied")
        yield from real(*roots, ignore_permission_denied=True, **options)

    monkeypatch.setattr(watch, "_load_watch", lambda: watch_or_fail)
    with Following(indexed, quiet=0.2) as following:
        fill(indexed.parent / "photos", [20])
        following.wait(embedded=1)
        assert not following.notices


def test_an_index_below_its_photos_does_not_follow_itself(encoder, fill, tmp_path):
    fill(tmp_path, range(3))
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync([tmp_path], workers=1)
    with Following(tmp_path / "index", quiet=0.1, check=0.1) as following:
        fill(tmp_path, [10])
        following.wait(embedded=1)
        time.sleep(2)
        assert following.counts == []
