"""The page of `mocosearch serve` in a browser: first paint, and a key until pictures come."""

import shutil
from contextlib import suppress
from typing import Any

from benchmarks.measure import middle

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
LOADS = 5
CLICKS = 9
SETTLE = 1000.0
"""Milliseconds until the pictures of the screen before have arrived."""
WATCH = """() => {
  addEventListener("keydown", () => {
    const start = performance.now();
    window.first = null;
    const look = () => {
      const picture = document.querySelector(".results .tile img.ready");
      if (picture) window.first = performance.now() - start;
      else requestAnimationFrame(look);
    };
    look();
  }, { capture: true });
}"""
PAINT = """() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? null"""


def measure_page(address: str, ids: list[int]) -> dict[str, float]:
    """Medians in ms; empty where there is no browser.

    address: of the server, with its token. ids: of the newest photos, whose thumbnails and those of
    their results are stored.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        return {}
    with suppress(ImportError):
        from playwright.sync_api import sync_playwright

        with sync_playwright() as runner:
            browser = runner.chromium.launch(executable_path=program, args=OPTIONS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address)
            page.locator(".tile img.ready").first.wait_for()
            paints = [_paint(page) for _ in range(LOADS)]
            clicks = [_click(page, id) for id in ids[:CLICKS]]
            browser.close()
        return {"first paint": middle(paints), "first pictures": middle(clicks)}
    return {}


def _paint(page: Any) -> float:
    """From the start of the navigation to the first paint with content."""
    page.reload()
    page.locator(".tile img.ready").first.wait_for()
    return float(page.wait_for_function(PAINT).json_value())


def _click(page: Any, id: int) -> float:
    """From the key `s` on a photo until the first of its results has its picture."""
    page.goto(page.url.split("?")[0])
    tile = page.locator(f'.photos [data-photo="{id}"]')
    tile.wait_for()
    page.wait_for_timeout(SETTLE)
    page.evaluate(WATCH)
    tile.focus()
    page.keyboard.press("s")
    # To ask the page meanwhile would take a tenth of the time.
    page.wait_for_timeout(SETTLE)
    return float(page.wait_for_function("() => window.first").json_value())
