from pathlib import Path

import pytest

from mocosearch.errors import NotFound
from mocosearch.home import STARTER, names, not_found_error, path_of
from mocosearch.home import home as home_of


def test_the_variable_sets_the_home(home):
    assert home_of() == home


def test_the_variable_may_begin_with_a_tilde(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MOCOSEARCH_HOME", "~/pictures")
    assert home_of() == tmp_path / "pictures"


def test_home_is_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOCOSEARCH_HOME", "here")
    assert home_of() == tmp_path / "here"


@pytest.mark.parametrize("value", [None, ""])
def test_the_home_without_the_variable(monkeypatch, tmp_path, value):
    if value is None:
        monkeypatch.delenv("MOCOSEARCH_HOME")
    else:
        monkeypatch.setenv("MOCOSEARCH_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    assert home_of().name == "mocosearch"
    assert home_of().is_relative_to(tmp_path)


def test_the_path_of_a_name_is_in_the_home(home):
    assert path_of("encoders", "holiday") == home / "encoders" / "holiday"
    assert path_of("indexes", "holiday") == home / "indexes" / "holiday"


def test_a_path_stays_a_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert path_of("encoders", "./holiday") == tmp_path / "holiday"
    assert path_of("encoders", "a/b") == tmp_path / "a" / "b"
    assert path_of("encoders", "/a/b") == Path("/a/b")
    assert path_of("encoders", "~/x") == tmp_path / "me" / "x"


def test_the_starter_comes_with_the_program(home):
    assert path_of("encoders", "starter") == STARTER
    assert path_of("indexes", "starter") == home / "indexes" / "starter"
    assert path_of("encoders", "./starter") == Path.cwd() / "starter"


def test_names_are_sorted_and_complete(home):
    assert names("encoders") == ["starter"]
    for name in ("b", "a", ".b.12.part"):
        (home / "encoders" / name).mkdir(parents=True)
    (home / "encoders" / "file").touch()
    assert names("encoders") == ["a", "b", "starter"]
    assert names("indexes") == []


def test_the_error_lists_existing_names(home):
    assert isinstance(not_found_error("indexes", Path("x")), NotFound)
    assert "mocosearch index" in not_found_error("indexes", Path("x")).hint
    for name in ("winter", "summer"):
        (home / "encoders" / name).mkdir(parents=True)
    error = not_found_error("encoders", Path("spring"))
    assert error.hint == "there are: starter, summer, winter"
    assert "spring" in error.what
