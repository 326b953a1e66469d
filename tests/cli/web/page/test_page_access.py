"""Every state for everyone: axe-core, touch targets, reduced motion, and the keyboard alone.

axe-core comes from npm: AXE names its axe.min.js, or it lies in node_modules of the project.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from fake_gallery import Gallery, eventually

DESKTOP, PHONE = 1440, 390
TOUCH = 44
"""Least side of what a finger presses, in pixels (WCAG 2.5.5)."""
STATES = {
    "photos": ("/", ".photos .tile img.ready"),
    "filtered": ("/?taken=2024&camera=one", ".chip"),
    "selected": ("/?like=12", ".results .tile img.ready"),
    "results": ("/?like=12&minus=40&crop=10%25,10%25,50%25,50%25", ".chance-line"),
    "photo": ("/?photo=99", ".similar"),
    "refined photo": ("/?like=12&photo=98", ".similar"),
    "absent": ("/?photo=98", ".absent"),
    "gone": ("/?photo=999", ".photo-dialog .message"),
    "filters": ("/?panel=filters", ".folder"),
    "help": ("/?panel=help", ".shortcuts"),
    "part": ("/?panel=part&of=99", ".part-box"),
    "duplicates": ("/?view=duplicates", ".group"),
    "pair": ("/?view=duplicates&pair=90,80", ".pair-stage"),
    "script": ("/?view=duplicates&panel=script", ".script"),
    "compare": ("/?view=compare&like=12&other=starter", ".compare-column .tile img.ready"),
    "map": ("/?view=map", ".map-tile"),
    "looks": ("/?view=looks", ".look-card"),
    "look": ("/?view=looks&look=beach", ".look-photo img"),
}
FRAMES = """async () => {
  for (let number = 0; number < 5; number += 1) await new Promise(requestAnimationFrame);
}"""
SMALL = """([least]) =>
  [...document.querySelectorAll("button, a[href], select, input, [role=slider]")]
  .filter((e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }))
  .filter((e) => !e.closest("[inert]") && getComputedStyle(e).pointerEvents !== "none")
  .filter((e) => !document.querySelector("dialog[open]") || e.closest("dialog[open]"))
  .filter((e) => !e.matches(".tile-link, .skip, .similar"))
  .map((e) => {
    const box = e.getBoundingClientRect();
    const more = getComputedStyle(e, "::after").content === "none" ? 0
      : -2 * Math.min(parseFloat(getComputedStyle(e, "::after").top) || 0, 0);
    return [e.outerHTML.slice(0, 90), box.width + more, box.height + more];
  })
  .filter(([, width, height]) => width > 0 && (width < least - 0.5 || height < least - 0.5))"""


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core; the tests are skipped where it is not installed."""
    project = Path(__file__).parents[4]
    usual = project / "node_modules" / "axe-core" / "axe.min.js"
    path = Path(os.environ.get("AXE") or usual)
    if not path.is_file():
        pytest.skip("axe-core is not installed: npm install --no-save axe-core")
    return path.read_text()


def _is_slow(state: str, width: int) -> bool:
    return width == PHONE and state not in ("photos", "results", "photo", "map", "look")


def show(open_page: Any, address: str, state: str, **options: Any) -> Any:
    """A state of the page."""
    query, selector = STATES[state]
    page = open_page(address + query, reduced_motion="reduce", **options)
    page.locator(selector).first.wait_for(state="attached")
    if state == "selected":
        page.locator(".tile-link").first.focus()
        page.keyboard.press("x")
    return page


@pytest.mark.parametrize(
    ("state", "width"),
    [
        pytest.param(state, width, marks=() if _is_slow(state, width) else pytest.mark.browser)
        for state in STATES
        for width in (DESKTOP, PHONE)
    ],
)
def test_axe_reports_nothing(
    open_page: Any, address: str, gallery: Gallery, axe: str, state: str, width: int
) -> None:
    gallery.line = 20
    page = show(open_page, address, state, width=width)
    page.evaluate(axe)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        # A transition of colours begins with the next frame.
        page.evaluate(FRAMES)
        report = page.evaluate("axe.run()")
        violations = [
            (one["id"], [node["html"][:160] for node in one["nodes"]][:3])
            for one in report["violations"]
        ]
        assert violations == [], scheme


@pytest.mark.parametrize("state", STATES)
def test_a_finger_can_press_everything_and_nothing_moves(
    open_page: Any, address: str, gallery: Gallery, state: str
) -> None:
    gallery.line = 20
    page = show(open_page, address, state, width=PHONE)
    assert page.evaluate(SMALL, [TOUCH]) == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE
    page.wait_for_timeout(100)
    longest = page.evaluate(
        "Math.max(0, ...document.getAnimations().map(a => a.effect.getTiming().duration))"
    )
    # Motion is reduced in all tests of this module.
    assert longest <= 1


@pytest.mark.browser
def test_the_keyboard_alone_does_everything(page: Any, gallery: Gallery) -> None:
    gallery.line = 20
    press = page.keyboard.press
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    # To a photo, and to photos like it.
    press("ArrowDown")
    press("Enter")
    page.locator(".similar").first.wait_for()
    press("c")
    page.locator(".notice").wait_for()
    press("s")
    page.locator(".results .tile").first.wait_for()
    # Refine with two results, then with a part.
    press("ArrowRight")
    press("x")
    press("ArrowRight")
    press("x")
    press("+")
    eventually(page, lambda: len(gallery.bodies("/v1/search")[-1]["ids"]) == 3)
    page.go_back()
    eventually(page, lambda: page.locator(".query-picture").count() == 1)
    press("p")
    page.locator(".part-box:focus").wait_for()
    press("Enter")
    page.locator(".crop-box").wait_for()
    press("o")
    page.wait_for_url("**sort=taken**")
    press("e")
    page.locator(".compare-column .tile").first.wait_for()
    # Filters: the first field is the next after the button that closes.
    press("f")
    page.locator(".sheet.side").wait_for()
    press("Tab")
    press("Tab")
    page.keyboard.type("2024")
    press("Tab")
    page.keyboard.type("2024")
    press("Enter")
    page.wait_for_url("**taken=2024**")
    # The other views.
    press("d")
    page.locator(".group").first.wait_for()
    press("j")
    press("Enter")
    page.locator(".pair-stage").wait_for()
    press("ArrowRight")
    assert page.locator(".pair-range").input_value() != "50"
    press("n")
    eventually(page, lambda: gallery.ignored == [[90, 80]])
    eventually(page, lambda: "pair" not in page.url)
    press("m")
    page.locator(".map-tile").first.wait_for()
    press("Enter")
    page.locator(".facts h2").wait_for()
    press("Escape")
    page.locator(".photo-dialog").wait_for(state="hidden")
    eventually(page, lambda: "photo" not in page.url)
    press("?")
    page.locator(".shortcuts").wait_for()
    press("Escape")
    page.locator(".shortcuts").wait_for(state="hidden")
    eventually(page, lambda: "panel" not in page.url)
    press("h")
    page.locator(".photos .tile").first.wait_for()
    press("/")
    press("Enter")
    eventually(page, lambda: len(choosers) == 1)


def test_the_skip_link_is_first(page: Any) -> None:
    page.keyboard.press("Tab")
    page.get_by_role("link", name="Skip to the photos").and_(page.locator(":focus")).wait_for()
    page.keyboard.press("Enter")
    page.locator("main:focus").wait_for()
