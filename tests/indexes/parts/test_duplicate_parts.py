"""Photos that are crops of others are found, with their place; copies and others are not."""

import json
from pathlib import Path

import pytest
from PIL import Image
from program import command
from textures import SIZE, draw_textures, texture

BOX = 60, 40, 150, 120


@pytest.fixture
def home(tmp_path) -> Path:
    """Six photos, an enlarged crop of the third, and a smaller copy of the fourth."""
    folder = tmp_path / "photos"
    draw_textures(folder, 6)
    left, top, width, height = BOX
    crop = texture(2).crop((left, top, left + width, top + height))
    crop.resize((450, 360), Image.Resampling.BICUBIC).save(folder / "crop.jpg", quality=85)
    texture(3).resize((SIZE[0] * 3 // 4, SIZE[1] * 3 // 4)).save(folder / "copy.jpg", quality=85)
    made = command("index", folder, "--parts", home=tmp_path, fork=False)
    assert made.returncode == 0, made.stderr
    return tmp_path


def ask(home: Path, *words: object):
    answer = command("duplicates", "--parts", *words, home=home, fork=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_a_crop_is_listed_with_the_photo_to_keep(home):
    (part,) = json.loads(ask(home, "--json"))["parts"]
    assert Path(part["path"]).name == "crop.jpg"
    assert Path(part["part_of"]).name == "002.jpg"
    region = [part["region"][name] for name in "xywh"]
    assert all(abs(one - other) <= 4 for one, other in zip(region, BOX, strict=True))
    assert part["agreeing"] >= 8
    assert ask(home, "--paths") == f"{home / 'photos' / 'crop.jpg'}\n"
    assert "is part of" in ask(home)


def test_options_of_groups_do_not_go_with_parts(home):
    answer = command("duplicates", "--parts", "--script", home=home, fork=False)
    assert answer.returncode == 2
