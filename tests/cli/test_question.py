from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from cli.conditions import around, span
from cli.question import Crop, Part, ask, read_image
from mocosearch.encoder import Encoder
from mocosearch.errors import NoPhotos


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("cat.jpg", Part("cat.jpg", 1)),
        ("cat.jpg:2", Part("cat.jpg", 2)),
        ("a:b.jpg:0.5", Part("a:b.jpg", 0.5)),
        (r"C:\cat.jpg", Part(r"C:\cat.jpg", 1)),
        (r"C:\cat.jpg:3", Part(r"C:\cat.jpg", 3)),
        ("-", Part("-", 1)),
        (":2", Part(":2", 1)),
    ],
)
def test_weights(word: str, part: Part) -> None:
    assert Part.of(word) == part


def test_a_file_whose_name_ends_like_a_weight(tmp_path: Path) -> None:
    (tmp_path / "x:2").touch()
    assert Part.of(str(tmp_path / "x:2")) == Part(str(tmp_path / "x:2"), 1)
    with pytest.raises(typer.BadParameter):
        Part.of("cat.jpg:-1")


def test_regions() -> None:
    assert Crop.of("10,20,30,40").box(100, 100) == (10, 20, 40, 60)
    assert Crop.of("10%,0%,50%,50%").box(200, 80) == (20, 0, 120, 40)
    assert Crop.of("90,90,30,40").box(100, 100) == (90, 90, 100, 100)
    with pytest.raises(typer.BadParameter, match="100 x 50"):
        Crop.of("0,60,30,40").box(100, 50)
    for wrong in ("1,2,3", "1,2,0,4", "-1,2,3,4", "10%,2,3,4", "a,b,c,d", "0,0,inf,1", "nan,0,1,1"):
        with pytest.raises(typer.BadParameter):
            Crop.of(wrong)


def test_a_region_is_the_picture_of_that_region(picture, tmp_path: Path) -> None:
    whole = picture(3, 200, 120)
    whole.save(tmp_path / "whole.png")
    box = (40, 24, 140, 96)
    whole.crop(box).save(tmp_path / "part.png")
    region = read_image(str(tmp_path / "whole.png"), 32, Crop.of("40,24,100,72"))[1]
    shares = read_image(str(tmp_path / "whole.png"), 32, Crop.of("20%,20%,50%,60%"))[1]
    alone = read_image(str(tmp_path / "part.png"), 32)[1]
    assert np.array_equal(region, alone)
    assert np.array_equal(shares, alone)


def test_weights_and_minus_are_sums_of_keys(encoder: Encoder, fill, tmp_path: Path) -> None:
    a, b, c = map(str, fill(tmp_path, range(3)))
    one = {name: encoder.encode(read_image(name, encoder.side)[1][None])[0] for name in (a, b, c)}
    asked = ask(encoder, [a, f"{b}:3"], minus=[c]).keys
    mean = one[a] + 3 * one[b]
    expected = mean / np.linalg.norm(mean) - 0.5 * one[c]
    assert asked[0] == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)
    twice = ask(encoder, [a], minus=[f"{b}:3", c]).keys
    expected = one[a] - 0.5 * (3 * one[b] + one[c]) / 2
    assert twice[0] == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)


def test_a_folder_is_the_mean_of_its_pictures(encoder: Encoder, fill, tmp_path: Path) -> None:
    files = fill(tmp_path / "photos", range(5))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    asked = ask(encoder, [str(tmp_path / "photos")])
    assert list(asked.skipped) == [str(tmp_path / "photos" / "bad.jpg")]
    assert asked.keys == pytest.approx(ask(encoder, [str(f) for f in files]).keys, abs=2e-3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoPhotos, match="empty"):
        ask(encoder, [str(tmp_path / "empty")])
    assert ask(encoder, [str(tmp_path / "photos")], minus=[str(files[0])]).image == b""
    assert ask(encoder, [str(files[1])], minus=[str(files[0])]).image == files[1].read_bytes()


def test_all_orientations_are_asked(encoder: Encoder, picture, tmp_path: Path) -> None:
    square = picture(5, 64, 64)
    square.save(tmp_path / "square.png")
    keys = ask(encoder, [str(tmp_path / "square.png")], turned=True).keys
    ways = [None, *Image.Transpose]
    for number, way in enumerate(ways):
        (square if way is None else square.transpose(way)).save(tmp_path / f"{number}.png")
        key = ask(encoder, [str(tmp_path / f"{number}.png")]).keys[0]
        assert (keys @ key).max() > 0.99, way


def test_a_screenshot_asks_for_the_picture_in_it_too(encoder, picture, tmp_path: Path) -> None:
    photo, other = picture(8, 120, 90), picture(9, 120, 90)
    screen = Image.new("RGB", (120, 240), "white")
    screen.paste(photo, (0, 75))
    photo.save(tmp_path / "photo.png")
    other.save(tmp_path / "other.png")
    screen.save(tmp_path / "screen.png")
    words = [str(tmp_path / name) for name in ("photo.png", "screen.png", "other.png")]
    plain, both = (ask(encoder, [word]).keys for word in words[:2])
    assert (len(plain), len(both)) == (1, 2)
    assert both[0] @ plain[0] < 0.9
    assert both[1] @ plain[0] > 0.99
    assert len(ask(encoder, words[1:2], crop=Crop.of("0,75,120,90")).keys) == 1
    assert len(ask(encoder, words[1:2], turned=True).keys) == 16
    together = ask(encoder, words[1:], minus=words[:1]).keys
    assert together.shape == both.shape
    assert np.linalg.norm(together, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert len(ask(encoder, words[:1], minus=words[1:2]).keys) == 1


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
