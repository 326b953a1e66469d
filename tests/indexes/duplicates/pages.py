"""Drawn pages that share a layout and differ in their text, as scans and screenshots do."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

Draw = ImageDraw.ImageDraw
WORDS = (
    *("the", "of", "invoice", "paper", "window", "river", "apple", "seven", "garden", "letter"),
    *("market", "number", "stone", "silver", "morning", "station", "bridge", "winter", "coffee"),
    *("carbon", "yellow", "driver", "castle", "melon", "pencil", "summer"),
)
INK = (25, 25, 35)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(d) for d in rng.integers(0, 10, count))


def price(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(1, 999))}.{digits(rng, 2)}"


def sentence(rng: np.random.Generator, words: int) -> str:
    return " ".join(WORDS[w] for w in rng.integers(0, len(WORDS), words))


def blank(width: int, height: int, paper: object = "white") -> tuple[Image.Image, Draw]:
    page = Image.new("RGB", (width, height), paper)  # type: ignore[arg-type]
    return page, ImageDraw.Draw(page)


def invoice(seed: int) -> Image.Image:
    """Only the numbers differ."""
    rng = np.random.default_rng(seed)
    page, draw = blank(620, 877)
    draw.rectangle((40, 40, 150, 90), fill=(30, 80, 160))
    draw.text((380, 45), "Northern Paper Ltd\n12 Harbour Street\nBergen", INK, font(13))
    draw.text((40, 150), f"Invoice no. {digits(rng, 6)}", INK, font(20))
    draw.text((40, 185), f"Date: 2024-0{rng.integers(1, 10)}-1{rng.integers(0, 10)}", INK, font(12))
    for line, name in enumerate(("Envelopes", "Paper A4", "Ink black", "Ink red", "Delivery")):
        y = 260 + 30 * line
        draw.line((40, y - 8, 580, y - 8), (190, 190, 190))
        draw.text((40, y), name, INK, font(12))
        draw.text((300, y), digits(rng, 2), INK, font(12))
        draw.text((500, y), price(rng), INK, font(12))
    draw.text((380, 440), f"Total  {price(rng)} EUR", INK, font(18))
    draw.text((40, 800), "Please pay within 30 days. Account 1234 5678 9012", INK, font(11))
    return page


def text(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    page, draw = blank(620, 877, (252, 250, 244))
    for line in range(38):
        draw.text((60, 60 + 20 * line), sentence(rng, 11)[:72], INK, font(13))
    return page


def table(seed: int) -> Image.Image:
    """A screenshot of a spreadsheet."""
    rng = np.random.default_rng(seed)
    page, draw = blank(960, 600)
    draw.rectangle((0, 0, 960, 30), fill=(33, 115, 70))
    for row in range(22):
        y = 40 + 25 * row
        draw.line((0, y - 4, 960, y - 4), (215, 215, 215))
        for column in range(10):
            draw.line((95 * column, 30, 95 * column, 600), (215, 215, 215))
            draw.text((95 * column + 25, y), price(rng), INK, font(13))
    return page


def ticket(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    page, draw = blank(800, 340, (238, 232, 214))
    draw.rectangle((0, 0, 800, 60), fill=(170, 30, 40))
    draw.text((30, 12), "NIGHT EXPRESS", "white", font(32))
    draw.text((30, 90), "Oslo S  -  Bergen", INK, font(26))
    draw.text((30, 150), f"Coach {rng.integers(1, 9)}   Seat {digits(rng, 2)}", INK, font(24))
    draw.text((30, 210), f"No. {digits(rng, 9)}", INK, font(18))
    code = rng.integers(0, 2, (21, 21), dtype=np.uint8) * 255
    page.paste(Image.fromarray(code).resize((210, 210), Image.Resampling.NEAREST), (560, 90))
    return page


def chat(seed: int) -> Image.Image:
    """A screenshot of a phone."""
    rng = np.random.default_rng(seed)
    page, draw = blank(540, 1100, (229, 221, 213))
    draw.rectangle((0, 0, 540, 70), fill=(7, 94, 84))
    draw.text((80, 20), "Marie", "white", font(26))
    for line in range(9):
        y, own = 100 + 105 * line, line % 2 == 0
        x = 150 if own else 30
        draw.rounded_rectangle((x, y, x + 360, y + 80), 14, (220, 248, 198) if own else "white")
        draw.text((x + 16, y + 10), f"{sentence(rng, 5)[:34]}", INK, font(18))
        draw.text((x + 16, y + 34), f"{sentence(rng, 5)[:34]}", INK, font(18))
        draw.text((x + 300, y + 60), f"1{rng.integers(0, 9)}:{digits(rng, 2)}", "grey", font(13))
    return page


def receipt(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    page, draw = blank(380, 800, (248, 246, 240))
    draw.text((110, 30), "MINI MARKET", INK, font(24))
    for line in range(16):
        y = 110 + 32 * line
        draw.text((30, y), f"{WORDS[line % len(WORDS)].upper()}", INK, font(17))
        draw.text((280, y), price(rng), INK, font(17))
    draw.text((30, 660), f"TOTAL        {price(rng)}", INK, font(22))
    draw.text((30, 720), f"2024-05-{digits(rng, 2)}  {digits(rng, 8)}", INK, font(14))
    return page


def form(seed: int) -> Image.Image:
    """A printed form, filled in with strokes of a pen."""
    rng = np.random.default_rng(seed)
    page, draw = blank(620, 800, (250, 250, 247))
    draw.text((60, 50), "Application for membership", INK, font(22))
    for line, name in enumerate(("Name", "Street", "Town", "Born", "Phone", "Signed")):
        y = 150 + 95 * line
        draw.text((60, y), name, INK, font(14))
        draw.line((160, y + 18, 560, y + 18), (120, 120, 120))
        steps = np.cumsum(rng.uniform(2, 8, 40))
        steps = 165 + steps * 230 / steps[-1]
        waves = y + 4 + rng.normal(0, 8, 40)
        draw.line(list(zip(steps.tolist(), waves.tolist(), strict=True)), (20, 40, 140), 2)
    return page


PAGES: dict[str, Callable[[int], Image.Image]] = {
    page.__name__: page for page in (invoice, text, table, ticket, chat, receipt, form)
}


def scaled(page: Image.Image, share: float) -> Image.Image:
    return page.resize((round(page.width * share), round(page.height * share)))


VERSIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half": lambda page: scaled(page, 0.5),
    "third": lambda page: scaled(page, 0.35),
    "dark": lambda page: ImageEnhance.Brightness(page).enhance(0.75),
    "light": lambda page: ImageEnhance.Brightness(page).enhance(1.25),
    "flat": lambda page: ImageEnhance.Contrast(page).enhance(0.7),
    "contrast": lambda page: ImageEnhance.Contrast(page).enhance(1.4),
    "faded": lambda page: ImageEnhance.Color(page).enhance(0.3),
    "vivid": lambda page: ImageEnhance.Color(page).enhance(1.6),
    "grey": lambda page: page.convert("L"),
}
QUALITIES = (60, 75, 90)


def versions(page: Image.Image) -> Iterator[tuple[str, Image.Image, int]]:
    """Name, picture and JPEG quality of each copy of a page."""
    for quality in QUALITIES:
        yield f"saved {quality}", page, quality
    for number, (name, change) in enumerate(VERSIONS.items()):
        yield name, change(page), QUALITIES[number % len(QUALITIES)]
