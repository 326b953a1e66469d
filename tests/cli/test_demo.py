from pathlib import Path

from program import Run


def test_the_demo_ends_with_a_page_of_pictures(run: Run, tmp_path: Path, photos: Path) -> None:
    ended = run("demo", "--photos", photos, "--for", "15s", home=tmp_path)
    assert ended.returncode == 0, ended.stderr
    page = Path(ended.stdout.strip())
    assert page.is_file()
    assert page.read_text().count("data:image/jpeg;base64,") == 6 * 8


def test_the_sample_collection_is_drawn_from_shipped_pictures(tmp_path: Path) -> None:
    from cli.demo import VIEWS_EACH, draw_collection

    folder = draw_collection(tmp_path / "photos")
    files = sorted(p.name for p in folder.iterdir())
    assert len(files) % VIEWS_EACH == 0
    assert len({name.rsplit("-", 1)[0] for name in files}) >= 14
    assert any(name.startswith("china-") for name in files)
