from pathlib import Path

import pytest
import typer

from cli.conditions import around, span
from cli.question import crop_of, images_of, min_score_of, split_weight
from indexes import Crop, Weighted
from mocosearch.errors import Unsuitable


@pytest.mark.parametrize(
    ("word", "name", "weight"),
    [
        ("cat.jpg", "cat.jpg", 1),
        ("cat.jpg:2", "cat.jpg", 2),
        ("a:b.jpg:0.5", "a:b.jpg", 0.5),
        (r"C:\cat.jpg", r"C:\cat.jpg", 1),
        (r"C:\cat.jpg:3", r"C:\cat.jpg", 3),
        ("-", "-", 1),
        ("-:2", "-", 2),
        (":2", ":2", 1),
    ],
)
def test_weights(word: str, name: str, weight: float) -> None:
    assert split_weight(word) == (name, weight)
    if name != "-":
        assert images_of([word]) == [Weighted(name, weight)]


def test_a_file_whose_name_ends_like_a_weight(tmp_path: Path) -> None:
    (tmp_path / "x:2").touch()
    assert split_weight(str(tmp_path / "x:2")) == (str(tmp_path / "x:2"), 1)
    with pytest.raises(Unsuitable, match=r"cat\.jpg"):
        images_of(["cat.jpg:-1"])


def test_crops() -> None:
    assert crop_of(None) is None
    assert crop_of("10,20, 30,40") == Crop(10, 20, 30, 40)
    assert crop_of("25%,0%,50%,50%") == Crop(0.25, 0, 0.5, 0.5, relative=True)
    for wrong in ("1,2,3", "1,2,0,4", "-1,2,3,4", "10%,2,3,4", "a,b,c,d", "0,0,inf,1", "nan,0,1,1"):
        with pytest.raises(typer.BadParameter):
            crop_of(wrong)


def test_lowest_scores() -> None:
    assert min_score_of(None) == (None, False)
    assert min_score_of("0.5") == (0.5, False)
    assert min_score_of("auto") == (None, True)
    with pytest.raises(typer.BadParameter):
        min_score_of("high")


def test_times() -> None:
    assert span("2019") == ("2019", "2019")
    assert span("2019..2021-06") == ("2019", "2021-06")
    assert span("..2021-06-03") == ("", "2021-06-03")
    assert span("2019-12..2019") == ("2019-12", "2019")
    for wrong in ("", "..", "19", "2019-13", "2019-02-30", "2021..2020", "soon", "2019-1"):
        with pytest.raises(typer.BadParameter):
            span(wrong)


def test_places() -> None:
    assert around("48.1,11.6,5km") == (48.1, 11.6, 5)
    assert around("-33.9, 18.4, 300m") == (-33.9, 18.4, 0.3)
    for wrong in ("48.1,11.6", "91,0,5km", "0,181,5km", "x,y,5km", "1.2.3,4,5km", "1,2,5"):
        with pytest.raises(typer.BadParameter):
            around(wrong)
