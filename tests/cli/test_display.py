"""Sizes and durations as text."""

import pytest
import typer

from cli.display import duration, size


@pytest.mark.parametrize(
    ("text", "bytes_"), [("500M", 5e8), ("8G", 8e9), ("1.5T", 1.5e12), ("7k", 7e3)]
)
def test_sizes(text: str, bytes_: float) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "8", "G", "many", "1e999G"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size"):
        size(text)


def test_durations() -> None:
    assert duration("1h30m") == 5400
    with pytest.raises(typer.BadParameter, match="is not a duration"):
        duration("soon")
