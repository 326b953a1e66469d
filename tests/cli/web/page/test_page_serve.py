"""The page of the real server: a photo is found by a file, and nothing asks another machine."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gallery import eventually
from program import PROGRAM, command, environment, make_photos


@pytest.fixture
def real(ready_home: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server with its token, and the folder of its photos."""
    pytest.importorskip("starlette", reason="the server's packages are not installed")
    photos = tmp_path / "photos"
    make_photos(photos, 12, seed=5)
    index = tmp_path / "index"
    indexed = command("index", photos, "--index", index, home=ready_home)
    assert indexed.returncode == 0, indexed.stderr
    line = [PROGRAM, "serve", "--index", index, "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [sys.executable, *map(str, line)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(ready_home),
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), photos
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.mark.browser
def test_a_file_is_found_and_new_photos_appear(
    real: tuple[str, Path], open_page: Callable[..., Any], ready_home: Path, tmp_path: Path
) -> None:
    address, photos = real
    page = open_page(address)
    eventually(page, lambda: page.locator(".photos .tile img.ready").count() == 12)
    assert "token" not in page.url
    page.locator("#file").set_input_files(photos / "photo 03.jpg")
    page.locator(".results .tile img.ready").first.wait_for()
    first = page.locator(".results .tile-link").first
    assert first.get_attribute("aria-label").startswith("photo 03.jpg, similarity 1.00")
    first.click()
    page.locator(".facts h2", has_text="photo 03.jpg").wait_for()
    large = page.locator(".photo-dialog img.photo:not(.preview)")
    large.evaluate("image => image.decode()")
    page.keyboard.press("Escape")
    page.locator(".photo-dialog").wait_for(state="hidden")
    page.keyboard.press("d")
    page.get_by_role("heading", name="No duplicates").wait_for(timeout=60_000)
    page.keyboard.press("h")
    page.locator(".photos .tile").first.wait_for()
    make_photos(photos / "more", 3, seed=6)
    index = tmp_path / "index"
    assert command("index", photos, "--index", index, home=ready_home).returncode == 0
    eventually(page, lambda: page.locator("#total").inner_text() == "15 photos")
    eventually(page, lambda: page.locator(".photos .tile img.ready").count() == 15)


def test_a_page_without_its_cookie_says_what_to_do(
    real: tuple[str, Path], open_page: Callable[..., Any]
) -> None:
    address, _ = real
    page = open_page(address)
    page.locator(".photos .tile").first.wait_for()
    page.context.clear_cookies()
    page.locator(".tile-link").first.click()
    page.locator(".photo-dialog .message").wait_for()
    assert "address" in page.locator(".photo-dialog .message").inner_text()
