"""One photo, duplicates, two encoders, the map, help, and the server's absence."""

import re
from typing import Any

import pytest
from fake_gallery import Gallery, eventually, group, months_of, serve


def show(page: Any, query: str, selector: str) -> None:
    """Open a state of the page and wait for a part of it."""
    page.goto(page.url.split("?")[0] + query, wait_until="domcontentloaded")
    page.locator(selector).first.wait_for()


def test_a_photo_is_shown_with_its_facts(page: Any) -> None:
    page.locator('.tile[data-number="1"] .tile-link').click()
    page.locator(".facts h2", has_text="IMG_0099.jpg").wait_for()
    facts = page.locator(".fact-list").inner_text()
    for part in (
        "10 December 2024, 12:00",
        "300 \N{MULTIPLICATION SIGN} 200",
        "JPEG, 2.4 MB",
        "Camera One",
        "48.1000",
    ):
        assert part in facts
    assert page.locator(".path-text").inner_text().replace("\n", "") == "/photos/2024/IMG_0099.jpg"
    assert page.locator(".similar").count() == 12
    assert page.url.endswith("?photo=99")


def test_the_path_is_copied(open_page: Any, address: str) -> None:
    page = open_page(f"{address}/?photo=99", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy path").first.click()
    page.locator(".notice", has_text="Path copied").wait_for()
    assert page.evaluate("() => navigator.clipboard.readText()") == "/photos/2024/IMG_0099.jpg"


def test_photos_follow_by_key_and_close_in_one_step(page: Any) -> None:
    page.locator('.tile[data-number="1"] .tile-link').click()
    page.locator(".facts h2", has_text="IMG_0099.jpg").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator(".facts h2", has_text="IMG_0098.jpg").wait_for()
    page.locator(".similar").first.click()
    eventually(page, lambda: not page.url.endswith("photo=98"))
    page.locator(".similar").first.wait_for()
    page.keyboard.press("Escape")
    eventually(page, lambda: "photo" not in page.url)
    assert page.locator(".photo-dialog").is_hidden()
    page.go_forward()
    page.locator(".facts h2").wait_for()


def test_the_tile_has_the_focus_again(page: Any) -> None:
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.locator(".facts h2", has_text="IMG_0099.jpg").wait_for()
    page.keyboard.press("ArrowRight")
    page.locator(".facts h2", has_text="IMG_0098.jpg").wait_for()
    page.keyboard.press("Escape")
    page.locator('[data-photo="98"]:focus').wait_for()


def test_results_follow_in_their_order(page: Any) -> None:
    show(page, "?like=12", ".results .tile")
    order = page.locator(".results .tile-link").evaluate_all("all => all.map(a => a.dataset.photo)")
    page.locator(".results .tile-link").nth(1).click()
    page.locator(".facts h2").wait_for()
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: page.url.endswith(f"photo={order[2]}"))
    page.get_by_role("heading", name="Copies").wait_for()
    assert "Similarity" in page.locator(".fact-list").inner_text()


def test_a_photo_on_an_unplugged_disk(page: Any) -> None:
    show(page, "?photo=14", ".absent")
    assert "“HOLIDAY”, which is not connected" in page.locator(".absent").inner_text()


def test_a_photo_that_is_gone(page: Any) -> None:
    show(page, "?photo=999", ".photo-dialog .message")
    assert "There is no photo 999" in page.locator(".photo-dialog .message").inner_text()


@pytest.mark.browser
def test_copies_are_side_by_side(page: Any) -> None:
    page.keyboard.press("d")
    page.locator(".group").first.wait_for()
    assert page.locator(".view-head p").inner_text() == "2 groups, 3 copies with 120 kB"
    first = page.locator(".group").first
    assert first.locator(".copy").count() == 2
    assert first.locator(".copy.keep").count() == 1
    assert first.locator(".differences").last.inner_text() == "half the width"
    assert "150 \N{MULTIPLICATION SIGN} 100" in first.locator(".copy").last.inner_text()


def test_duplicates_are_computed_in_the_background(page: Any, gallery: Gallery) -> None:
    gallery.computing = 3
    show(page, "?view=duplicates", ".spinner")
    page.locator(".group").first.wait_for()


def test_no_duplicates(page: Any, gallery: Gallery) -> None:
    gallery.groups = []
    show(page, "?view=duplicates", ".message")
    page.get_by_role("heading", name="No duplicates").wait_for()


def test_more_groups_than_a_page(page: Any, gallery: Gallery) -> None:
    gallery.groups = [group(100 - 2 * number, 99 - 2 * number) for number in range(45)]
    show(page, "?view=duplicates", ".group")
    page.get_by_role("button", name="Show more (5)").click()
    eventually(page, lambda: page.locator(".group").count() == 45)


def test_the_slider_compares_two_copies(page: Any) -> None:
    show(page, "?view=duplicates", ".group")
    page.get_by_role("button", name="Compare").first.click()
    slider = page.get_by_role("slider", name="How much of the left picture")
    slider.wait_for()
    assert page.url.endswith("pair=90,80")
    page.keyboard.press("End")
    assert slider.input_value() == "100"
    box = page.locator(".pair-stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 50)
    assert int(slider.input_value()) == pytest.approx(25, abs=3)
    split = "getComputedStyle(document.querySelector('.pair-stage')).getPropertyValue('--split')"
    assert page.evaluate(split) == f"{slider.input_value()}%"
    page.keyboard.press("Escape")
    eventually(page, lambda: "pair" not in page.url)


def test_not_a_copy_is_remembered(page: Any, gallery: Gallery) -> None:
    show(page, "?view=duplicates", ".group")
    page.get_by_role("button", name="Not a copy").first.click()
    eventually(page, lambda: gallery.ignored == [[90, 80]])
    eventually(page, lambda: page.locator(".group").count() == 1)
    page.keyboard.press("j")
    page.keyboard.press("n")
    page.get_by_role("heading", name="No duplicates").wait_for()
    assert gallery.ignored[1] == [70, 60, 50]


def test_the_script_is_shown_and_nothing_is_deleted(page: Any, gallery: Gallery) -> None:
    show(page, "?view=duplicates", ".group")
    page.get_by_role("button", name="Script to remove copies").click()
    page.locator(".script", has_text="rm copy.jpg").wait_for()
    assert {method for method, _, _ in gallery.requests} == {"GET"}
    page.keyboard.press("Escape")
    eventually(page, lambda: "panel" not in page.url)


def test_two_encoders_are_side_by_side(page: Any, gallery: Gallery) -> None:
    show(page, "?like=12", ".results .tile")
    page.get_by_role("button", name="Two encoders").click()
    page.locator(".compare-column .tile").first.wait_for()
    assert gallery.bodies("/v1/compare") == [{"ids": [12], "k": 60, "other": "starter"}]
    assert page.locator(".compare-column").count() == 2
    notes = page.locator(".compare-column").first.locator(".badge.wide").all_inner_texts()
    assert "only here" in notes
    assert any(note.startswith("#") for note in notes)
    page.get_by_role("link", name="All results").click()
    page.locator(".results .tile").first.wait_for()


@pytest.mark.browser
def test_the_map_moves_and_opens_photos(page: Any) -> None:
    page.keyboard.press("m")
    page.locator(".map-tile.ready").first.wait_for()
    # The whole map is on the screen.
    eventually(page, lambda: "place=1.7" in page.url)
    page.keyboard.press("+")
    eventually(page, lambda: "place=2.7" in page.url)
    page.keyboard.press("ArrowRight")
    eventually(page, lambda: re.search(r"place=2\.7\d*,0\.6[67]", page.url) is not None)
    page.mouse.move(700, 500)
    page.mouse.wheel(0, -400)
    eventually(page, lambda: "place=3.7" in page.url)
    page.keyboard.press("0")
    eventually(page, lambda: "place=1.7" in page.url)
    page.locator(".map-plane").click()
    page.locator(".facts h2", has_text="IMG_0005.jpg").wait_for()
    page.keyboard.press("Escape")
    page.locator(".map-tile").first.wait_for()


def test_the_map_is_dragged(page: Any) -> None:
    show(page, "?view=map&place=3,0.5,0.5", ".map-tile.ready")
    page.mouse.move(700, 500)
    page.mouse.down()
    page.mouse.move(400, 500, steps=5)
    page.mouse.up()
    eventually(page, lambda: "place=3,0.64" in page.url)
    assert page.locator(".photo-dialog").is_hidden()


def test_the_map_is_hidden_where_there_is_none(open_page: Any) -> None:
    with serve(Gallery(months_of(20), map=False)) as address:
        page = open_page(f"{address}/?view=map")
        page.locator(".photos .tile").first.wait_for()
        assert page.get_by_role("link", name="Map").count() == 0


def test_a_look_is_taught_by_click_and_by_key(page: Any, gallery: Gallery) -> None:
    page.keyboard.press("l")
    page.get_by_role("link", name="beach").click()
    question = page.locator(".look-words strong")
    page.locator(".look-error", has_text="40 further photos belong to it").wait_for()
    page.locator(".look-error", has_text="about 4 of them (10%)").wait_for()
    assert "IMG_0100.jpg" in question.inner_text()
    page.get_by_role("button", name="Yes").click()
    eventually(page, lambda: gallery.answers == {100: True})
    eventually(page, lambda: "IMG_0099.jpg" in question.inner_text())
    page.get_by_role("button", name="Yes").and_(page.locator(":focus")).wait_for()
    page.locator(".view-head", has_text="1 yes, 0 no").wait_for()
    page.keyboard.press("n")
    eventually(page, lambda: gallery.answers == {100: True, 99: False})
    eventually(page, lambda: "IMG_0098.jpg" in question.inner_text())
    page.keyboard.press("s")
    eventually(page, lambda: "IMG_0097.jpg" in question.inner_text())
    page.keyboard.press("u")
    eventually(page, lambda: "IMG_0099.jpg" in question.inner_text())
    page.locator(".view-head", has_text="1 yes, 1 no").wait_for()
    page.keyboard.press("y")
    eventually(page, lambda: gallery.answers == {100: True, 99: True})
    eventually(page, lambda: "IMG_0097.jpg" in question.inner_text())
    page.get_by_role("button", name="Ask about IMG_0095.jpg now").click()
    eventually(page, lambda: "IMG_0095.jpg" in question.inner_text())
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.locator(".look-photo").click()
    page.locator(".facts h2").wait_for()


def test_every_state_has_an_address(page: Any) -> None:
    page.keyboard.press("?")
    page.locator(".shortcuts").wait_for()
    assert page.url.endswith("?panel=help")
    page.go_back()
    page.locator(".shortcuts").wait_for(state="hidden")
    page.locator('.tile[data-number="0"] .tile-link').click()
    page.get_by_role("button", name="Choose a part").last.click()
    page.locator(".part-box:focus").wait_for()
    assert "photo=100&panel=part&of=100" in page.url
    page.reload()
    page.locator(".part-box:focus").wait_for()
    page.keyboard.press("Escape")
    page.locator(".facts h2").wait_for()


def test_the_server_goes_and_returns(open_page: Any, gallery: Gallery) -> None:
    with serve(gallery) as address:
        page = open_page(f"{address}/")
        page.locator(".tile").first.wait_for()
    page.locator("#banner", has_text="The server has stopped").wait_for()
    page.locator('.tile[data-number="0"] .tile-link').click()
    page.locator(".photo-dialog .message", has_text="does not answer").wait_for()
    page.keyboard.press("Escape")
    with serve(gallery, int(address.rpartition(":")[2])):
        page.locator("#banner").wait_for(state="hidden")
        page.locator('.tile[data-number="1"] .tile-link').click()
        page.locator(".facts h2").wait_for()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "not signed in"), (503, "the index at /photos has disappeared")],
)
def test_an_error_at_the_start_is_shown(
    open_page: Any, gallery: Gallery, status: int, words: str
) -> None:
    gallery.errors["/v1/info"] = (status, words, "put it back")
    with serve(gallery) as address:
        page = open_page(f"{address}/")
        page.get_by_role("alert").filter(has_text=words).wait_for()
        gallery.errors.clear()
        page.get_by_role("button", name="Try again").click()
        page.locator(".tile").first.wait_for()
