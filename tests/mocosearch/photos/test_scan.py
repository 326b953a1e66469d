import errno
import os
import tracemalloc
from types import SimpleNamespace

import pytest

from mocosearch.errors import NotFound
from mocosearch.photos.scan import FileStat, ScanReport, is_within, roots_of, scan


def names_below(*roots) -> list[str]:
    return [os.path.relpath(f.path, roots[0]) for f in scan([str(r) for r in roots])]


def put(*files) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"12345")


def test_files_are_listed_in_a_stable_order(tmp_path):
    put(tmp_path / "b.jpg", tmp_path / "a.jpg", tmp_path / "z" / "c.txt", tmp_path / "d" / "e.png")
    assert names_below(tmp_path) == ["a.jpg", "b.jpg", "d/e.png", "z/c.txt"]


def test_size_and_times(tmp_path):
    put(tmp_path / "a.jpg")
    os.utime(tmp_path / "a.jpg", ns=(5, 123_456_789_987_654_321))
    status = (tmp_path / "a.jpg").stat()
    expected = FileStat(str(tmp_path / "a.jpg"), 5, status.st_mtime_ns, status.st_ctime_ns)
    assert list(scan([str(tmp_path)])) == [expected]


def test_times_are_clipped_to_64_bits():
    """ext4 has times up to 2446, other file systems do not; so the system's answer is faked."""
    latest = 2**63 - 1
    year_2300 = 10_413_792_000 * 10**9
    status = SimpleNamespace(st_size=5, st_mtime_ns=year_2300, st_ctime_ns=-year_2300)
    assert FileStat.of("a.jpg", status) == FileStat("a.jpg", 5, latest, -latest)


def test_hidden_and_system_folders_are_skipped(tmp_path):
    put(tmp_path / "seen" / "a.jpg", tmp_path / ".hidden" / "b.jpg", tmp_path / ".c.jpg")
    for folder in ("@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", "#recycle"):
        put(tmp_path / folder / "d.jpg")
    assert names_below(tmp_path) == ["seen/a.jpg"]
    scan_report = ScanReport()
    list(scan([str(tmp_path)], scan_report=scan_report))
    assert len(scan_report.hidden) == 7
    assert scan_report.excluded == scan_report.unreadable == []


def test_dot_underscore_files_of_macos_are_listed(tmp_path):
    put(tmp_path / "a.jpg", tmp_path / "._a.jpg", tmp_path / ".DS_Store")
    assert names_below(tmp_path) == ["._a.jpg", "a.jpg"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], ["a.jpg", "a.png", "2019/b.jpg", "2019/raw/c.jpg", "d/raw/e.jpg"]),
        (["*.png"], ["a.jpg", "2019/b.jpg", "2019/raw/c.jpg", "d/raw/e.jpg"]),
        (["raw"], ["a.jpg", "a.png", "2019/b.jpg"]),
        (["2019/raw"], ["a.jpg", "a.png", "2019/b.jpg", "d/raw/e.jpg"]),
        (["2019/"], ["a.jpg", "a.png", "d/raw/e.jpg"]),
        (["a.*", "d"], ["2019/b.jpg", "2019/raw/c.jpg"]),
        (["RAW", "nothing"], ["a.jpg", "a.png", "2019/b.jpg", "2019/raw/c.jpg", "d/raw/e.jpg"]),
        (["*"], []),
    ],
)
def test_exclude_patterns(tmp_path, patterns, expected):
    everything = ["a.jpg", "a.png", "2019/b.jpg", "2019/raw/c.jpg", "d/raw/e.jpg"]
    put(*(tmp_path / name for name in everything))
    scan_report = ScanReport()
    paths = [f.path for f in scan([str(tmp_path)], patterns, scan_report)]
    assert sorted(paths) == sorted(str(tmp_path / name) for name in expected)
    excluded = [
        n for n in everything if any((tmp_path / n).is_relative_to(e) for e in scan_report.excluded)
    ]
    assert sorted(excluded + expected) == sorted(everything)


def test_an_unreadable_folder_is_reported(tmp_path, locked):
    put(tmp_path / "locked" / "a.jpg", tmp_path / "b.jpg")
    scan_report = ScanReport()
    paths = [f.path for f in scan([str(tmp_path)], scan_report=scan_report)]
    assert paths == [str(tmp_path / "b.jpg")]
    assert scan_report.unreadable == [str(tmp_path / "locked")]


@pytest.mark.parametrize(
    ("error", "unreadable"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), ["dead"]),
        (OSError(errno.EIO, "Input/output error"), ["dead/a.jpg", "dead/b.jpg"]),
        (OSError(errno.ENOTCONN, "Not connected"), ["dead/a.jpg", "dead/b.jpg"]),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), []),
    ],
)
def test_files_without_a_status_are_reported(tmp_path, monkeypatch, error, unreadable):
    """Root may search any folder, so the system's answer is faked."""
    put(tmp_path / "dead" / "a.jpg", tmp_path / "dead" / "b.jpg", tmp_path / "z.jpg")
    lstat = os.lstat

    def fail(path, **options):
        if os.path.basename(os.path.dirname(path)) == "dead":
            raise error
        return lstat(path, **options)

    monkeypatch.setattr(os, "lstat", fail)
    scan_report = ScanReport()
    paths = [f.path for f in scan([str(tmp_path)], scan_report=scan_report)]
    assert paths == [str(tmp_path / "z.jpg")]
    assert scan_report.unreadable == [str(tmp_path / name) for name in unreadable]


def test_a_link_to_an_unreadable_file_is_reported(tmp_path, monkeypatch):
    put(tmp_path / "a.jpg")
    (tmp_path / "link.jpg").symlink_to("/elsewhere/b.jpg")
    stat = os.stat

    def fail(path, **options):
        if str(path).endswith("link.jpg"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", fail)
    scan_report = ScanReport()
    paths = [f.path for f in scan([str(tmp_path)], scan_report=scan_report)]
    assert paths == [str(tmp_path / "a.jpg")]
    assert scan_report.unreadable == [str(tmp_path / "link.jpg")]


def test_a_link_to_a_file_below_a_root_is_the_same_file(tmp_path):
    put(tmp_path / "one" / "a.jpg", tmp_path / "away" / "b.jpg", tmp_path / "one" / ".h" / "c.jpg")
    for name, target in (("1", "one/a.jpg"), ("2", "away/b.jpg"), ("3", "away/b.jpg")):
        (tmp_path / "one" / f"{name}.jpg").symlink_to(tmp_path / target)
    assert names_below(tmp_path / "one") == ["2.jpg", "a.jpg"]
    assert names_below(tmp_path) == ["away/b.jpg", "one/a.jpg"]
    (tmp_path / "one" / "4.jpg").symlink_to(tmp_path / "one" / ".h" / "c.jpg")
    assert names_below(tmp_path / "one") == ["2.jpg", "4.jpg", "a.jpg"]


@pytest.mark.parametrize("pattern", ["sub", "album/sub", "b.jpg", "album/*"])
def test_a_link_to_an_excluded_file_is_listed(tmp_path, pattern):
    put(tmp_path / "album" / "sub" / "b.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "album" / "sub" / "b.jpg")
    assert names_below(tmp_path) == ["album/sub/b.jpg"]
    assert [f.path for f in scan([str(tmp_path)], [pattern])] == [str(tmp_path / "link.jpg")]


def test_two_hard_links_are_two_files(tmp_path):
    put(tmp_path / "a.jpg")
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert names_below(tmp_path) == ["a.jpg", "b.jpg"]


def test_a_hidden_folder_may_be_a_root(tmp_path):
    put(tmp_path / ".photos" / "a.jpg")
    assert names_below(tmp_path / ".photos") == ["a.jpg"]


def test_a_loop_of_links_ends(tmp_path):
    put(tmp_path / "one" / "a.jpg")
    (tmp_path / "one" / "up").symlink_to(tmp_path)
    (tmp_path / "one" / "self").symlink_to(tmp_path / "one" / "self")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert len(names_below(tmp_path)) == 1


def test_each_real_folder_is_scanned_once(tmp_path):
    put(tmp_path / "real" / "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [os.path.basename(n) for n in names_below(tmp_path)] == ["a.jpg"]
    assert len(names_below(tmp_path / "real", tmp_path / "link")) == 1


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path):
    put(tmp_path / "disk" / "a.jpg")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "disk")
    assert names_below(tmp_path / "photos") == ["link/a.jpg"]


def test_broken_links_and_pipes_are_skipped(tmp_path):
    put(tmp_path / "a.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "below_a_file.jpg").symlink_to(tmp_path / "a.jpg" / "b.jpg")
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    scan_report = ScanReport()
    assert [f.path for f in scan([str(tmp_path)], [], scan_report)] == [str(tmp_path / "a.jpg")]
    assert scan_report.unreadable == []
    assert list(scan([str(tmp_path / "pipe.jpg")])) == []


def test_many_names_in_one_folder_take_little_memory(tmp_path):
    """The names are in memory, because they are sorted, and nothing else of the files."""
    count = 20_000
    for number in range(count):
        os.mknod(tmp_path / f"{number:05}.jpg")
    tracemalloc.start()
    try:
        assert sum(1 for _ in scan([str(tmp_path)])) == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 150 * count


def test_names_that_are_not_utf_8(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    with open(name, "wb") as file:
        file.write(b"1")
    (stat,) = scan([str(tmp_path)])
    assert os.fsencode(stat.path) == name


def test_a_file_can_be_a_root(tmp_path):
    put(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert [f.path for f in scan([str(tmp_path / "b.jpg")])] == [str(tmp_path / "b.jpg")]


def test_a_missing_root_is_skipped(tmp_path):
    put(tmp_path / "here" / "a.jpg")
    roots = [str(tmp_path / "gone"), str(tmp_path / "here")]
    assert len(list(scan(roots))) == 1


def test_a_root_inside_another_counts_once(tmp_path):
    put(tmp_path / "a" / "b" / "c.jpg", tmp_path / "ab" / "d.jpg")
    roots = roots_of([tmp_path / "a" / "b", tmp_path / "a", tmp_path / "ab", tmp_path / "a"])
    assert roots == [str(tmp_path / "a"), str(tmp_path / "ab")]
    assert len(list(scan(roots))) == 2


def test_roots_are_absolute(tmp_path, monkeypatch):
    put(tmp_path / "here" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert roots_of(["here", "./here/", "~/here"]) == [str(tmp_path / "here")]


def test_a_root_must_exist(tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        roots_of([tmp_path, tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/a/b", "/a", True),
        ("/a", "/a", True),
        ("/ab", "/a", False),
        ("/a/b", "/", True),
        ("/a", "/a/b", False),
    ],
)
def test_is_within(path, root, expected):
    assert is_within(path, root) is expected
