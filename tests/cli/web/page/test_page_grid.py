"""The collection: rows, months, the scale, and a million photos."""

import random
from typing import Any

import pytest
from fake_gallery import Gallery, eventually, months_of, serve

MILLION = 1_000_000
MOST_PIXELS = 4_000_000
"""Of the height of any element; browsers stop at about 16.7 million."""
MOST_TILES = 400

JUSTIFY = """async ([aspects, width, target, gap, open]) => {
  const { justify } = await import("/static/justify.js");
  return justify(aspects, width, target, gap, open);
}"""


@pytest.mark.parametrize("open_end", [True, False])
def test_rows_contain_all_photos_once_and_fill_the_width(page: Any, open_end: bool) -> None:
    numbers = random.Random(3)
    for _ in range(40):
        count, width = numbers.randint(1, 90), numbers.randint(320, 2000)
        aspects = [numbers.uniform(0.5, 2.6) for _ in range(count)]
        rows = page.evaluate(JUSTIFY, [aspects, width, 200, 4, open_end])["rows"]
        assert [row["from"] for row in rows] == [0, *(row["to"] for row in rows[:-1])]
        assert rows[-1]["to"] == count
        for place, row in enumerate(rows):
            ends = [x + wide for x, wide in zip(row["x"], row["width"], strict=True)]
            gaps = [x - end for x, end in zip(row["x"][1:], ends, strict=False)]
            assert all(3 <= gap <= 5 for gap in gaps)
            assert ends[-1] <= width
            if place < len(rows) - 1:
                assert ends[-1] == width or row["height"] == 400
                assert row["height"] > 100


@pytest.mark.browser
def test_photos_are_newest_first_below_their_months(page: Any) -> None:
    assert page.locator(".month").first.inner_text().startswith("December 2024")
    labels = page.locator(".tile-link").evaluate_all("tiles => tiles.map(t => t.ariaLabel)")
    assert labels[0] == "IMG_0100.jpg, 10 December 2024"
    assert page.locator("#total").inner_text() == "100 photos"


def test_a_tile_has_its_size_before_its_picture(open_page: Any, gallery: Gallery) -> None:
    with serve(gallery) as address:
        page = open_page(f"{address}/")
        page.locator(".tile").first.wait_for()
        before = page.locator(".tile").first.bounding_box()
        page.locator(".tile img.ready").first.wait_for()
        assert page.locator(".tile").first.bounding_box() == before


def test_a_million_photos_scroll_to_the_end(open_page: Any) -> None:
    gallery = Gallery(months_of(MILLION, years=30))
    with serve(gallery) as address:
        page = open_page(f"{address}/")
        page.locator(".tile").first.wait_for()
        # The scale reaches the end, and the photos before it can be reached with the wheel.
        box = page.locator(".scale").bounding_box()
        page.mouse.click(box["x"] + 30, box["y"] + box["height"] - 3)
        page.locator('.tile[data-number="999999"]').wait_for()
        assert heights(page) < MOST_PIXELS
        assert page.locator(".tile").count() < MOST_TILES
        page.mouse.move(500, 500)
        for _ in range(10):
            page.mouse.wheel(0, -600)
            page.wait_for_timeout(30)
        page.wait_for_timeout(500)
        first = int(page.locator(".tile").first.get_attribute("data-number"))
        assert 999_700 < first < 999_990
        asked = [int(query["limit"][0]) for query in gallery.sent("/v1/images")]
        assert max(asked) <= 1000


@pytest.mark.browser
def test_a_jump_into_the_middle_of_a_million_photos(open_page: Any) -> None:
    gallery = Gallery(months_of(MILLION, years=30))
    with serve(gallery) as address:
        page = open_page(f"{address}/?at=2009-06.1200")
        page.locator(".tile").first.wait_for()
        page.wait_for_timeout(800)
        numbers = page.locator(".tile").evaluate_all(
            "tiles => tiles.filter(t => t.getBoundingClientRect().top > 60)"
            ".map(t => +t.dataset.number).sort((a, b) => a - b)"
        )
        place = sum(count for month, count in gallery.months if month and month > "2009-06")
        assert abs(numbers[0] - (place + 1200)) < 20
        assert heights(page) < MOST_PIXELS


@pytest.mark.parametrize("photos", [20_000, MILLION])
def test_rows_above_that_load_do_not_move_the_screen(open_page: Any, photos: int) -> None:
    with serve(Gallery(months_of(photos, years=10))) as address:
        page = open_page(f"{address}/?at=2019-06")
        page.locator(".tile").first.wait_for()
        page.wait_for_timeout(600)
        page.mouse.move(500, 500)
        steps = []
        for _ in range(25):
            number = page.evaluate(
                "document.elementFromPoint(500, 600).closest('.tile')?.dataset.number"
            )
            if number is None:
                page.mouse.wheel(0, -60)
                continue
            tile = page.locator(f'.tile[data-number="{number}"]')
            before = tile.bounding_box()["y"]
            page.mouse.wheel(0, -200)
            # On a busy machine the wheel takes longer.
            eventually(page, lambda tile=tile, y=before: tile.bounding_box()["y"] > y + 100)
            page.wait_for_timeout(120)
            steps.append(tile.bounding_box()["y"] - before)
        # The wheel moves the photo by 200 pixels, and what loads meanwhile does not.
        assert all(abs(step - 200) < 3 for step in steps), steps


def test_the_address_contains_the_place(open_page: Any) -> None:
    gallery = Gallery(months_of(5000, years=5))
    with serve(gallery) as address:
        page = open_page(f"{address}/")
        page.locator(".tile").first.wait_for()
        page.mouse.move(500, 500)
        page.mouse.wheel(0, 4000)
        page.wait_for_url("**/?at=2024-*")
        page.wait_for_timeout(400)
        top = "document.elementFromPoint(500, 300).closest('.tile').dataset.number"
        before = page.evaluate(top)
        page.reload()
        page.locator(".tile").first.wait_for()
        page.wait_for_timeout(600)
        assert abs(int(page.evaluate(top)) - int(before)) < 12


def test_the_scale_names_months_and_moves_by_key(page: Any) -> None:
    scale = page.get_by_role("slider", name="Date")
    assert scale.get_attribute("aria-valuetext") == "December 2024"
    scale.focus()
    page.keyboard.press("End")
    page.locator('.tile[data-number="99"]').wait_for()
    assert page.locator(".month", has_text="No date").count() == 1


def test_new_photos_appear(page: Any, gallery: Gallery) -> None:
    gallery.months = [("2025-01", 3), *gallery.months]
    gallery.version += 1
    page.locator(".month", has_text="January 2025").wait_for()
    assert page.locator("#total").inner_text() == "103 photos"


def test_new_photos_do_not_move_a_reader_further_down(open_page: Any) -> None:
    gallery = Gallery(months_of(3000))
    with serve(gallery) as address:
        page = open_page(f"{address}/?at=2024-06")
        page.locator(".tile").first.wait_for()
        page.wait_for_timeout(600)
        heading = page.locator(".month", has_text="June 2024")
        before = heading.bounding_box()["y"]
        gallery.months = [("2025-01", 300), *gallery.months]
        gallery.version += 1
        page.locator("#total", has_text="3,300 photos").wait_for()
        page.wait_for_timeout(300)
        assert abs(heading.bounding_box()["y"] - before) < 2


def test_arrow_keys_walk_through_the_collection(page: Any) -> None:
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert focus(page) == "99"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert focus(page) == "99"
    page.keyboard.press("End")
    page.locator('[data-photo="1"]:focus').wait_for()
    page.keyboard.press("Home")
    page.locator('[data-photo="100"]:focus').wait_for()


def test_arrow_keys_reach_photos_that_are_not_loaded(open_page: Any) -> None:
    with serve(Gallery(months_of(MILLION))) as address:
        page = open_page(f"{address}/")
        page.locator(".tile").first.wait_for()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("End")
        page.locator('[data-photo="1"]:focus').wait_for()
        page.keyboard.press("ArrowLeft")
        page.locator('[data-photo="2"]:focus').wait_for()


def focus(page: Any) -> str:
    """The photo that has the focus."""
    page.wait_for_timeout(100)
    return str(page.evaluate("document.activeElement.dataset.photo"))


def heights(page: Any) -> float:
    """Height of the highest element."""
    return float(
        page.evaluate("Math.max(...[...document.querySelectorAll('*')].map(e => e.scrollHeight))")
    )
