"""A browser, and pages of a gallery in it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_gallery import Gallery, group, months_of, serve

CHROMIUM = next(
    (path for path in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if path),
    None,
)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = 1440, 390
HERE = Path(__file__).parent
Open = Callable[..., Any]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is not marked `browser` is slow."""
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("browser") is None:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium; the tests are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def gallery() -> Gallery:
    """A hundred photos and two groups of copies."""
    return Gallery(months_of(100), groups=[group(90, 80), group(70, 60, 50)])


@pytest.fixture
def address(gallery: Gallery) -> Iterator[str]:
    """The address of the gallery."""
    with serve(gallery) as text:
        yield text


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open an address in a new context; a page that reports an error or that asks another server
    for anything fails the test.
    """
    contexts: list[Any] = []
    problems: list[str] = []

    def open_(url: str, width: int = DESKTOP, dark: bool = False, **options: Any) -> Any:
        phone = width <= 640
        context = browser.new_context(
            viewport={"width": width, "height": 844 if phone else 900},
            color_scheme="dark" if dark else "light",
            has_touch=phone,
            is_mobile=phone,
            **options,
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        origin = "/".join(url.split("/")[:3])
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda line: _note(line, problems))
        page.on("request", lambda request: _note_request(request.url, origin, problems))
        page.goto(url, wait_until="domcontentloaded")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


def _note(line: Any, problems: list[str]) -> None:
    # A failed request is what some tests are about; they look at what the page says of it.
    if line.type == "error" and "Failed to load resource" not in line.text:
        problems.append(line.text)


def _note_request(url: str, origin: str, problems: list[str]) -> None:
    if not url.startswith((f"{origin}/", "data:", "blob:")):
        problems.append(f"request to {url}")


@pytest.fixture
def page(open_page: Open, address: str) -> Any:
    """The gallery on a large screen."""
    page = open_page(f"{address}/")
    page.locator(".tile").first.wait_for()
    return page


@pytest.fixture
def picture_file(tmp_path: Path) -> Path:
    """A picture to search with."""
    from PIL import Image

    path = tmp_path / "mine.png"
    Image.new("RGB", (40, 30), "teal").save(path)
    return path
