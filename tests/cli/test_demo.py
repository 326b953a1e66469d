import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from program import Run, make_photos

from cli.samples import VIEWS_EACH, draw_collection, picture_of


def test_the_demo_begins_anew_and_ends_with_a_page_of_pictures(
    run: Run, tmp_path: Path, photos: Path
) -> None:
    make_photos(tmp_path / "others", 3, seed=5)
    assert run("index", tmp_path / "others", "--index", "demo", home=tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "others")
    ended = run("demo", "--photos", photos, "--for", "15s", home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    page = Path(ended.stdout.strip())
    shown = page.read_text()
    assert shown.count("data:image/jpeg;base64,") == 2 * 6 * 8
    assert shown.count("at once, with the starter") == 6
    assert shown.count("after 15s of training on these photos") == 6
    assert "of the same picture" not in shown
    assert ended.stderr.index(f"the first answers: {page}") < ended.stderr.index("encoder: ")
    told = json.loads(run("info", "--index", "demo", "--json", home=tmp_path).stdout)
    assert (told["images"], told["roots"]) == (30, [str(photos)])


def test_a_time_that_is_none_is_refused_before_anything_is_drawn(run: Run, tmp_path: Path) -> None:
    assert run("demo", "--for", "soon", home=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_on_its_own_pictures(run: Run, tmp_path: Path) -> None:
    ended = run("demo", "--for", "30s", home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    shown = Path(ended.stdout.strip()).read_text()
    assert shown.count("data:image/jpeg;base64,") == 2 * 6 * 8
    assert shown.count(" of 7 of the same picture") == 2 * 6
    assert "CC BY 2.0" in shown


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_collection(tmp_path_factory.mktemp("demo") / "photos")


def test_the_sample_collection_is_drawn_from_shipped_pictures(drawn: Path) -> None:
    files = sorted(p.name for p in drawn.iterdir())
    assert len(files) % VIEWS_EACH == 0
    names = {picture_of(name) for name in files}
    assert len(names) >= 14
    assert {"china", "motorcycle_left", "hubble_deep_field"} <= names


def test_a_sample_that_was_not_written_whole_is_drawn_again(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(drawn, folder)
    (folder / "moon-05.jpg").unlink()

    def killed(self: Image.Image, path: Path, **options: object) -> None:
        path.write_bytes(b"\xff\xd8\xff half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            draw_collection(folder)
    assert not (folder / "moon-05.jpg").exists()
    draw_collection(folder)
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(p.name for p in drawn.iterdir())
    assert (folder / "moon-05.jpg").read_bytes() == (drawn / "moon-05.jpg").read_bytes()
