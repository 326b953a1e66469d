"""Paths of Windows and macOS, as far as another system can test them."""

import importlib
import ntpath
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import Where
from indexes.store import roots
from indexes.store.roots import Roots
from mocosearch import home as home_module

scan = importlib.import_module("mocosearch.photos.scan")
WINDOWS = SimpleNamespace(path=ntpath, sep="\\", altsep="/", fspath=os.fspath, environ=os.environ)
NAMES = st.lists(
    st.text(
        st.characters(exclude_characters='/\\:*?"<>|\0', exclude_categories=["Cs"]), min_size=1
    ).filter(lambda name: name.strip(". ")),
    min_size=1,
    max_size=4,
)
COMPOSED, DECOMPOSED = "d\u00fcne.jpg", "du\u0308ne.jpg"


@contextmanager
def windows() -> Iterator[None]:
    """The modules that split paths, as on Windows."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (roots, scan, home_module):
            patch.setattr(module, "os", WINDOWS)
        yield


@given(NAMES)
def test_paths_of_windows_are_stored_with_slashes(names: list[str]) -> None:
    with windows():
        disks = Roots({3: "D:\\Photos", 4: "C:\\"})
        for root in disks.places.values():
            path = ntpath.join(root, *names)
            stored = disks.relative(path)
            assert "\\" not in stored
            assert stored.partition("/")[2] == "/".join(names)
            assert disks.path(stored) == path == str(PureWindowsPath(root, *names))


@given(NAMES)
def test_a_disk_of_windows_works_elsewhere(names: list[str]) -> None:
    stored = "3/" + "/".join(names)
    there = Roots({3: "/media/disk"})
    assert there.path(stored) == "/media/disk/" + "/".join(names)
    assert there.relative(there.path(stored)) == stored


def test_case_and_slashes_do_not_matter_on_windows() -> None:
    with windows():
        assert scan.is_within("C:\\Photos\\a.jpg", "c:/photos")
        assert scan.is_within("C:/PHOTOS", "C:\\photos")
        assert scan.is_within("C:\\a.jpg", "C:\\")
        assert not scan.is_within("C:\\Photos2\\a.jpg", "C:\\Photos")
        assert not scan.is_within("D:\\Photos\\a.jpg", "C:\\Photos")
        assert Roots({1: "C:\\Photos"}).relative("c:\\photos\\A.jpg") == "1/A.jpg"


def test_case_and_backslashes_matter_elsewhere() -> None:
    assert not scan.is_within("/Photos/a.jpg", "/photos")
    assert Roots({1: "/photos"}).relative("/photos/a\\b.jpg") == "1/a\\b.jpg"
    assert Roots({1: "/photos"}).path("1/a\\b.jpg") == "/photos/a\\b.jpg"


@pytest.mark.parametrize("path", ["C:\\encoders\\mine", "encoders\\mine", "a/b", ".\\mine"])
def test_a_path_of_windows_is_not_a_name(path: str) -> None:
    with windows():
        assert home_module.path_of("encoders", path) == Path(path).absolute()


@pytest.mark.parametrize(("name", "query"), [(DECOMPOSED, COMPOSED), (COMPOSED, DECOMPOSED)])
def test_a_mac_has_two_spellings_of_a_name(
    index, photos: Path, picture, reads, name: str, query: str
) -> None:
    picture(1).save(photos / name)
    index.sync([str(photos)])
    assert index.entry(str(photos / query)) is not None
    assert index.entry(str(photos / "dune.jpg")) is None


def test_a_filter_accepts_either_spelling_of_a_folder() -> None:
    folder = {form: unicodedata.normalize(form, "/Fotos/M\u00fcnchen") for form in ("NFC", "NFD")}
    for name, query in (("NFC", "NFD"), ("NFD", "NFC")):
        facts = {"width": 1, "height": 1, "paths": [f"{folder[name]}/a.jpg"]}
        assert Where(under=(folder[query],)).admits(facts)
        assert not Where(not_under=(folder[query],)).admits(facts)


@given(st.text(max_size=20))
def test_the_first_spelling_is_the_path_itself(path: str) -> None:
    forms = scan.unicode_forms(path)
    assert forms[0] == path
    assert len(forms) == len(set(forms))
    assert {unicodedata.normalize("NFC", form) for form in forms} == {
        unicodedata.normalize("NFC", path)
    }
