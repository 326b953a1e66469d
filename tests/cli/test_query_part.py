"""mocosearch query --part and index --parts, as a user runs them."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from program import command
from textures import texture

from indexes import Index

LEFT, TOP, WIDTH, HEIGHT = 90, 60, 120, 100


@pytest.fixture(scope="module")
def index(parts_home) -> Iterator[Index]:
    """Opened once, so that the network is compiled once."""
    with Index.open(parts_home / "indexes" / "default") as opened:
        yield opened


@pytest.fixture
def part(tmp_path: Path) -> Path:
    texture(7).crop((LEFT, TOP, LEFT + WIDTH, TOP + HEIGHT)).save(tmp_path / "part.png")
    return tmp_path / "part.png"


def ask(home: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return command("query", *words, home=home, fork=False)


def assert_found(document: dict) -> None:
    first, *others = document["results"]
    assert Path(first["path"]).name == "007.jpg"
    region = first["region"]
    assert abs(region["x"] - LEFT) <= 4
    assert abs(region["y"] - TOP) <= 4
    assert abs(region["w"] - WIDTH) <= 6
    assert abs(region["h"] - HEIGHT) <= 6
    assert first["agreeing"] >= 8
    assert all(other["region"] is None and other["agreeing"] == 0 for other in others)


def test_json_has_the_region_and_the_number_of_features(parts_home, part):
    answer = ask(parts_home, part, "--part", "--json", "-k", 4)
    assert answer.returncode == 0, answer.stderr
    assert_found(json.loads(answer.stdout))


def test_a_crop_of_the_image_is_the_part(parts_home, part, tmp_path):
    page = Image.new("RGB", (400, 300), "grey")
    with Image.open(part) as image:
        page.paste(image, (200, 150))
    page.save(tmp_path / "page.png")
    crop = f"200,150,{WIDTH},{HEIGHT}"
    answer = ask(parts_home, tmp_path / "page.png", "--part", "--crop", crop, "--json")
    assert_found(json.loads(answer.stdout))


def test_parts_take_the_place_of_results_that_may_be_chance(parts_home, part):
    answer = ask(parts_home, part)
    assert "part of these photos" in answer.stderr
    assert answer.stdout.count("\n") == 1
    assert "007.jpg" in answer.stdout
    assert "features agree" in answer.stdout


def test_a_whole_picture_is_found_as_before(parts_home, texture_photos):
    answer = ask(parts_home, texture_photos / "007.jpg", "--json", "-k", 3)
    results = json.loads(answer.stdout)["results"]
    assert Path(results[0]["path"]).name == "007.jpg"
    assert not any("region" in result for result in results)


def test_the_page_has_a_box(parts_home, part, tmp_path):
    from cli.boxes import COLOUR

    page = tmp_path / "page.html"
    answer = ask(parts_home, part, "--part", "-k", 1, "--gallery", page)
    assert answer.returncode == 0, answer.stderr
    assert "features agree" in page.read_text()
    small = Image.new("RGB", (100, 80))
    from cli.boxes import draw_box

    draw_box(small, (0.2, 0.25, 0.6, 0.75))
    assert small.getpixel((20, 40)) == COLOUR
    assert small.getpixel((50, 40)) == (0, 0, 0)


def test_aligned_photos_show_the_frame_of_the_image(parts_home, index, part, tmp_path):
    from cli.align import align
    from cli.gallery import Row

    answer = index.find_part(part, 3, thorough=True)
    (picture,) = align(Row(str(part), "part", answer), None).pictures
    with Image.open(io.BytesIO(picture)) as warped, Image.open(part) as image:
        larger = image.convert("RGB").resize(warped.size)
        difference = np.asarray(warped, float) - np.asarray(larger, float)
    assert np.abs(difference).mean() < 8
    page = tmp_path / "place.html"
    shown = ask(parts_home, part, "--align", "--gallery", page)
    assert shown.returncode == 0, shown.stderr
    assert page.read_text().count("<figure") == 2
    assert "no date" in page.read_text()


def test_a_mirrored_part_is_laid_onto_its_own_frame(index, part, tmp_path):
    from cli.align import align
    from cli.gallery import Row

    with Image.open(part) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    answer = index.find_part(tmp_path / "mirrored.png", 3)
    row = align(Row(str(tmp_path / "mirrored.png"), "part", answer), None)
    with Image.open(io.BytesIO(row.pictures[0])) as warped, Image.open(part) as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize(warped.size)
        difference = np.asarray(warped, float) - np.asarray(mirrored.convert("RGB"), float)
    assert np.abs(difference).mean() < 8


def test_aligning_needs_a_page(parts_home, part):
    assert command("query", part, "--align", home=parts_home).returncode == 2


@pytest.mark.parametrize("words", [["--minus", "x.jpg"], ["--turned"], ["second.jpg"]])
def test_a_part_is_one_picture(parts_home, part, words):
    answer = command("query", part, "--part", *words, home=parts_home)
    assert answer.returncode == 2
    assert "--part goes with one picture" in " ".join(answer.stderr.replace("│", " ").split())


def test_an_index_without_keys_of_regions_says_how_to_add_them(ready_home, part):
    answer = ask(ready_home, part, "--part")
    assert answer.returncode == 2
    assert "no keys of regions" in answer.stderr
    assert "mocosearch index --parts" in answer.stderr
