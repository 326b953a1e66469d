"""Search from the page, and what refines it."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fake_gallery import Gallery, eventually

DROP = """async ([name, type, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(
      new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""
PASTE = """async ([name, type, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const event = new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
  document.body.dispatchEvent(event);
}"""


def search(page: Any, query: str) -> None:
    """Open a state of the page and wait for its results."""
    page.goto(page.url.split("?")[0] + query, wait_until="domcontentloaded")
    page.locator(".results .tile").first.wait_for()


def state(page: Any) -> dict[str, list[str]]:
    """The state in the address."""
    return parse_qs(urlsplit(page.url).query)


@pytest.mark.browser
def test_a_chosen_file_is_searched(page: Any, gallery: Gallery, picture_file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Search with a picture").click()
    chooser.value.set_files(picture_file)
    page.locator(".results .tile").first.wait_for()
    assert state(page)["like"][0].startswith("u")
    # The answer came with the upload; there is no second search.
    assert len(gallery.bodies("/v1/search")) == 1
    assert picture_file.read_bytes() in gallery.bodies("/v1/search")[0]["form"]


@pytest.mark.parametrize("script", [DROP, PASTE])
def test_a_dropped_or_copied_picture_is_searched(
    page: Any, gallery: Gallery, picture_file: Path, script: str
) -> None:
    page.evaluate(script, ["mine.png", "image/png", list(picture_file.read_bytes())])
    page.locator(".results .tile").first.wait_for()
    assert picture_file.read_bytes() in gallery.bodies("/v1/search")[0]["form"]
    assert page.locator(".drop").is_hidden()


def test_the_results_of_an_upload_survive_a_reload(page: Any, picture_file: Path) -> None:
    page.locator("#file").set_input_files(picture_file)
    page.locator(".results .tile").first.wait_for()
    page.reload()
    page.locator(".results .tile").first.wait_for()
    assert "/v1/uploads/" in page.locator(".query-picture img").get_attribute("src")


def test_what_is_no_picture_is_refused_with_a_reason(page: Any, gallery: Gallery) -> None:
    page.evaluate(DROP, ["letter.txt", "text/plain", [65]])
    page.locator(".notice.error", has_text="letter.txt is not a picture").wait_for()
    page.evaluate(DROP, ["large.png", "image/png", [0] * 1_100_000])
    page.locator(".notice.error", has_text="large.png has 1.1 MB; the limit is 1.0 MB").wait_for()
    assert gallery.bodies("/v1/search") == []


def test_a_picture_that_the_server_cannot_read(page: Any, gallery: Gallery) -> None:
    gallery.errors["/v1/search"] = (422, "cannot read the picture: cut off", "")
    page.evaluate(DROP, ["broken.png", "image/png", [1, 2]])
    page.locator(".notice.error", has_text="cannot read the picture: cut off").wait_for()


def test_an_upload_that_the_server_has_forgotten(page: Any, gallery: Gallery) -> None:
    gallery.errors["/v1/search"] = (404, "there is no upload u1", "send the picture again")
    page.goto(page.url + "?like=u0000000000000001")
    page.get_by_text("The picture is no longer in memory").wait_for()
    with page.expect_file_chooser():
        page.get_by_role("button", name="Choose a picture").click()


def test_results_show_scores_copies_and_the_line(page: Any, gallery: Gallery) -> None:
    gallery.line = 5
    search(page, "?like=12")
    labels = page.locator(".results .tile-link").evaluate_all("all => all.map(a => a.ariaLabel)")
    assert "similarity 0.95" in labels[0]
    assert "1 copy" in labels[2]
    assert "file not there" in labels[4]
    assert page.locator(".badge", has_text="+1").count() == 1
    line = page.locator(".chance-line")
    assert "may be chance" in line.inner_text()
    assert page.locator(".tile:not(.chance)").count() == 5
    assert page.locator(".query-summary").inner_text().startswith("5 clear among")


def test_nothing_beyond_chance_is_said(page: Any, gallery: Gallery) -> None:
    gallery.line = 0
    search(page, "?like=12")
    assert page.locator(".chance-line").inner_text().startswith("No other photo is clearly similar")
    page.get_by_role("button", name="Clear matches only").click()
    page.get_by_role("heading", name="Nothing is clearly similar").wait_for()
    page.get_by_role("button", name="Show them anyway").click()
    page.locator(".results .tile").first.wait_for()


def test_a_photo_of_the_collection_is_searched_by_key(page: Any, gallery: Gallery) -> None:
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("s")
    page.locator(".results .tile").first.wait_for()
    assert gallery.bodies("/v1/search") == [{"ids": [99], "k": 100}]
    page.go_back()
    page.locator(".photos .tile").first.wait_for()


@pytest.mark.browser
def test_more_and_less_like_a_result(page: Any, gallery: Gallery) -> None:
    search(page, "?like=12")
    first = page.locator(".results .tile-link").first
    identity = int(first.get_attribute("data-photo"))
    first.focus()
    page.keyboard.press("+")
    page.wait_for_url(f"**/?like=12,{identity}")
    tiles = page.locator(".results .tile-link")
    # Until the results of before are gone.
    eventually(page, lambda: tiles.first.get_attribute("data-photo") != str(identity))
    other = tiles.nth(3)
    less = int(other.get_attribute("data-photo"))
    other.focus()
    page.keyboard.press("-")
    page.wait_for_url(f"**/?like=12,{identity}&minus={less}")
    expected = {"ids": [12, identity], "minus": [less], "k": 100}
    eventually(page, lambda: gallery.bodies("/v1/search")[-1] == expected)
    page.locator(".query-picture.minus .icon-button").click()
    page.wait_for_url(f"**/?like=12,{identity}")


def test_several_photos_are_searched(page: Any, gallery: Gallery) -> None:
    for number in (0, 1, 2):
        page.locator(f'.tile[data-number="{number}"] .tile-check').click()
    assert page.locator(".selection-count").inner_text() == "3 photos selected"
    page.get_by_role("button", name="Find similar").click()
    page.locator(".results .tile").first.wait_for()
    assert gallery.bodies("/v1/search") == [{"ids": [100, 99, 98], "k": 100}]
    assert page.locator(".selection").is_hidden()


def test_a_click_selects_while_there_is_a_selection(page: Any) -> None:
    page.locator('.tile[data-number="0"] .tile-check').click()
    page.locator('.tile[data-number="1"] .tile-link').click()
    assert page.locator(".tile.selected").count() == 2
    page.keyboard.press("Escape")
    assert page.locator(".tile.selected").count() == 0


def test_a_box_is_drawn(page: Any, gallery: Gallery) -> None:
    search(page, "?like=12")
    page.get_by_role("button", name="Choose a part").first.click()
    area = page.locator(".part-area")
    area.locator("img").evaluate("image => image.decode()")
    box = area.bounding_box()
    at = lambda x, y: (box["x"] + box["width"] * x, box["y"] + box["height"] * y)  # noqa: E731
    page.mouse.move(*at(0.1, 0.2))
    page.mouse.down()
    page.mouse.move(*at(0.6, 0.5), steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Search with this part").click()
    page.locator(".crop-box").wait_for()
    crop = [float(one.rstrip("%")) for one in gallery.bodies("/v1/search")[-1]["crop"].split(",")]
    assert crop == pytest.approx([10, 20, 50, 30], abs=1)
    page.get_by_role("button", name="Whole picture").click()
    page.locator(".crop-box").wait_for(state="detached")
    eventually(page, lambda: page.locator(".results .tile").count() == 99)
    assert "crop" not in page.url


def test_a_box_is_moved_by_key(page: Any, gallery: Gallery) -> None:
    search(page, "?like=12")
    page.keyboard.press("p")
    page.locator(".part-box:focus").wait_for()
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.locator(".crop-box").wait_for()
    crop = "29%,23%,48%,52%"
    eventually(page, lambda: gallery.bodies("/v1/search")[-1].get("crop") == crop)


def test_the_order_changes(page: Any, gallery: Gallery) -> None:
    gallery.line = 5
    search(page, "?like=12")
    page.get_by_label("Order of the results").select_option("taken-reverse")
    page.wait_for_url("**/?like=12&reverse=1&sort=taken")
    expected = {"ids": [12], "k": 100, "sort": "taken", "reverse": True}
    eventually(page, lambda: gallery.bodies("/v1/search")[-1] == expected)
    page.locator(".chance-line").wait_for(state="detached")
    page.keyboard.press("o")
    page.locator(".chance-line").wait_for()


def test_turned_pictures_and_more_results(page: Any, gallery: Gallery) -> None:
    search(page, "?like=12&k=20")
    page.get_by_role("button", name="Turned and mirrored").click()
    page.wait_for_url("**turned=1**")
    eventually(page, lambda: "turned" in gallery.bodies("/v1/search")[-1])
    page.get_by_role("button", name="Show more results").click()
    page.wait_for_url("**k=60**")
    page.locator(".results .tile").nth(50).wait_for()


def test_a_picture_is_searched_inside_photos(page: Any, gallery: Gallery) -> None:
    search(page, "?like=12&crop=10%25,10%25,50%25,50%25")
    toggle = page.get_by_role("button", name="Inside photos")
    toggle.click()
    page.wait_for_url("**inside=1**")
    eventually(page, lambda: gallery.bodies("/v1/search")[-1].get("part"))
    assert gallery.bodies("/v1/search")[-1]["crop"] == "10%,10%,50%,50%"
    tile = page.locator(".results .tile").first
    tile.locator(".region-box").wait_for()
    outer, inner = tile.bounding_box(), tile.locator(".region-box").bounding_box()
    assert abs(inner["width"] - outer["width"] / 2) < 2
    assert abs(inner["height"] - outer["height"] / 4) < 2
    toggle.click()
    page.locator(".region-box").first.wait_for(state="detached")
    assert "inside" not in state(page)
    assert "part" not in gallery.bodies("/v1/search")[0]


def test_all_filters_reach_the_server(page: Any, gallery: Gallery) -> None:
    page.keyboard.press("f")
    page.get_by_label("From").fill("2023")
    page.get_by_label("To", exact=True).fill("2024-06")
    page.get_by_label("Near").fill("48.1, 11.6, 5km")
    page.get_by_label("Camera").fill("one")
    page.get_by_label("Format").select_option("jpeg")
    page.get_by_label("Shorter side").fill("100")
    page.locator(".folder-open", has_text="photos").click()
    page.get_by_label("Folder 2024").select_option("in")
    page.get_by_label("Folder 2023").select_option("not_in")
    page.get_by_role("button", name="Show photos").click()
    page.locator(".chip", has_text="in 2024").wait_for()
    expected = {
        "in": ["/photos/2024"],
        "not_in": ["/photos/2023"],
        "taken": ["2023..2024-06"],
        "near": ["48.1,11.6,5km"],
        "camera": ["one"],
        "format": ["jpeg"],
        "min_side": ["100"],
    }
    assert state(page) == expected
    assert gallery.sent("/v1/timeline")[-1] == expected
    page.locator(".photos .tile-link").first.focus()
    page.keyboard.press("s")
    page.locator(".results .tile").first.wait_for()
    body = gallery.bodies("/v1/search")[-1]
    assert body["in"] == ["/photos/2024"]
    assert (body["taken"], body["min_side"]) == ("2023..2024-06", 100)
    page.get_by_role("button", name="Remove the filter: taken 2023 to 2024-06").click()
    page.locator(".chip", has_text="taken").wait_for(state="detached")
    assert "taken" not in state(page)


@pytest.mark.parametrize(
    ("label", "text", "words"),
    [
        ("From", "May", "Write a date"),
        ("Near", "Munich", "Write a place"),
        ("Shorter side", "large", "Write a number"),
    ],
)
def test_a_wrong_filter_is_named(page: Any, label: str, text: str, words: str) -> None:
    page.keyboard.press("f")
    page.get_by_label(label).fill(text)
    page.keyboard.press("Enter")
    assert words in page.locator(".form-problem").inner_text()
    assert page.get_by_label(label).get_attribute("aria-invalid") == "true"


def test_filters_that_leave_nothing(page: Any, gallery: Gallery) -> None:
    gallery.months = []
    page.goto(page.url + "?taken=1999")
    page.get_by_role("heading", name="No photo matches the filters").wait_for()
    page.get_by_role("button", name="Remove the filters").click()
    page.get_by_role("heading", name="No photos yet").wait_for()
    assert "mocosearch index FOLDER --index holiday" in page.locator("pre").inner_text()
