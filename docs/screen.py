"""Draw docs/query.svg: the output of an example query, including its pictures.

    python -m docs.screen

The photos are drawn here, so their licence is ours. The text and the pictures are what
`mocosearch query --preview` sends to a terminal.
"""

import base64
import html
import io
import math
import os
import pty
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import ExifTags, Image, ImageDraw, ImageFilter

PAGE = Path(__file__).parent / "query.svg"
PROGRAM = Path(sys.executable).parent / "mocosearch"
SIZE = (640, 480)
EACH = 8
COLUMNS = 140
WIDE, HIGH, PICTURE = 8.4, 19, 150
"""Width and height of a character, and of a picture (22 by 11 characters), in pixels."""
STYLES = {"": "#d8dee9", "1": "#ffffff", "2": "#8a93a6", "34": "#6fa8ff"}
INLINE = re.compile(r"\x1b\]1337;File=[^:]*:([^\x07]*)\x07")
NOT_TEXT = re.compile(r"\x1b\]8;;[^\x1b]*\x1b\\|\x1b\[\d*[A-GJK]|\x1b[78]|\r")
SPAN = re.compile(r"\x1b\[([\d;]*)m")

Pen = ImageDraw.ImageDraw


def main() -> None:
    """Draw a collection, query it, and write the output as a picture."""
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place) / "photos"
        query = draw_photos(photos)
        env = {**os.environ, "MOCOSEARCH_HOME": f"{place}/home", "COLUMNS": str(COLUMNS)}
        env |= {"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}
        env.pop("NO_COLOR", None)
        for words in (["train", str(photos), "--epochs", "0"], ["index", str(photos)]):
            subprocess.run([PROGRAM, *words], env=env, check=True)
        words = ["query", str(query), "-k", "5", "--preview"]
        shown = on_a_terminal([str(PROGRAM), *words], env).replace(str(photos), "/photos")
    PAGE.write_text(svg(f"$ mocosearch query {query.name} -k 5 --preview", shown))


def on_a_terminal(command: list[str], env: dict[str, str]) -> str:
    """The output of a command on a terminal."""
    terminal, inside = pty.openpty()
    with subprocess.Popen(command, stdin=inside, stdout=inside, env=env) as process:
        os.close(inside)
        shown = b""
        try:
            while more := os.read(terminal, 65536):
                shown += more
        except OSError:
            pass  # Linux reports the end of a terminal this way.
    os.close(terminal)
    assert process.returncode == 0, shown
    return shown.decode()


def svg(line: str, shown: str) -> str:
    """The screen as SVG: its text, and the pictures in a row below."""
    pictures = INLINE.findall(shown)
    text = NOT_TEXT.sub("", INLINE.sub("", shown))
    rows = [line, *(row for row in text.splitlines() if row.strip(" 0123456789"))]
    width = max(len(SPAN.sub("", row)) for row in rows) * WIDE + 40
    top = 34 + HIGH * len(rows)
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {top + 152}" '
        f'width="{width:.0f}" font-family="ui-monospace, Menlo, Consolas, monospace" '
        'font-size="14">',
        '<rect width="100%" height="100%" rx="10" fill="#1d2129"/>',
    ]
    for number, row in enumerate(rows):
        made += spans(row, 34 + HIGH * number)
    for number, data in enumerate(pictures):
        x = 20 + number * (PICTURE + 18)
        made.append(label(str(number + 1), x, top + 8, STYLES["2"]))
        made.append(
            f'<image x="{x}" y="{top + 18}" width="{PICTURE}" height="{PICTURE}" '
            f'preserveAspectRatio="xMinYMin" href="data:image/jpeg;base64,{small(data)}"/>'
        )
    return "\n".join(made) + "\n</svg>\n"


def spans(row: str, y: int) -> Iterator[str]:
    """The pieces of a row by colour, each as wide as its characters in any font."""
    column, style = 0, ""
    for number, piece in enumerate(SPAN.split(row)):
        if number % 2:
            style = piece if piece in STYLES else ""
        elif piece:
            yield label(piece, 20 + column * WIDE, y, STYLES[style])
            column += len(piece)


def label(text: str, x: float, y: int, colour: str) -> str:
    """Text that starts at x and is as wide as its characters."""
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{colour}" xml:space="preserve" '
        f'textLength="{len(text) * WIDE:.1f}" lengthAdjust="spacingAndGlyphs">'
        f"{html.escape(text)}</text>"
    )


def small(data: str) -> str:
    """A picture from the terminal, small enough to commit, as base64."""
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        picture.thumbnail((2 * PICTURE, 2 * PICTURE))
        out = io.BytesIO()
        picture.convert("RGB").save(out, "JPEG", quality=80)
    return base64.b64encode(out.getvalue()).decode()


def draw_photos(folder: Path) -> Path:
    """Draw three kinds of pictures over several years; returns a crop of one as the query."""
    chance = random.Random(4)
    for kind, draw in KINDS.items():
        for number in range(EACH):
            year = 2019 + number // 3
            path = folder / str(year) / kind / f"{kind}-{number + 1}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(scene(draw, chance), path, f"{year}:0{number % 9 + 1}:{number + 10} 12:00:00")
    query = folder.parent / "beach.jpg"
    first = next(folder.rglob("beach-2.jpg"))
    with Image.open(first) as picture:
        picture.crop((40, 30, 600, 450)).save(query, quality=85)
        save(picture.resize((320, 240)), first.with_name("beach-2 (small).jpg"), None)
    return query


def save(picture: Image.Image, path: Path, taken: str | None) -> None:
    """Save a picture with the time a camera would have recorded."""
    exif = Image.Exif()
    if taken:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    picture.save(path, quality=88, exif=exif)


def scene(draw: Callable[[Pen, random.Random], None], chance: random.Random) -> Image.Image:
    """One picture of a kind, with the blur and noise of a lens."""
    picture = Image.new("RGB", SIZE)
    pen = ImageDraw.Draw(picture)
    draw(pen, chance)
    grain = Image.effect_noise(SIZE, 18).convert("RGB")
    return Image.blend(picture.filter(ImageFilter.GaussianBlur(1)), grain, 0.06)


def fade(pen: Pen, y: int, end: int, above: tuple[int, ...], below: tuple[int, ...]) -> None:
    """Fill rows with a gradient from one colour to another."""
    for row in range(y, end):
        share = (row - y) / max(end - y, 1)
        colour = tuple(round(a + (b - a) * share) for a, b in zip(above, below, strict=True))
        pen.line((0, row, SIZE[0], row), colour)


def beach(pen: Pen, chance: random.Random) -> None:
    """Sun, sea and sand."""
    sea, sand = chance.randint(200, 260), chance.randint(330, 380)
    fade(pen, 0, sea, (70 + chance.randint(0, 90), 120, 190), (250, 190, 130))
    x, y, r = chance.randint(80, 560), sea - chance.randint(20, 90), chance.randint(28, 46)
    pen.ellipse((x - r, y - r, x + r, y + r), (255, 236, 170))
    fade(pen, sea, sand, (40, 110, 150), (90, 170, 180))
    for _ in range(60):
        at = chance.randint(0, 600), chance.randint(sea + 4, sand - 4)
        pen.line((*at, at[0] + chance.randint(10, 60), at[1]), (200, 220, 215))
    fade(pen, sand, SIZE[1], (236, 208, 150), (200, 160, 105))
    for _ in range(chance.randint(1, 3)):
        left, base = chance.randint(60, 540), chance.randint(sand + 20, 450)
        colour = chance.choice(((220, 60, 60), (240, 240, 240), (60, 120, 210)))
        pen.pieslice((left, base - 90, left + 110, base + 20), 180, 360, colour)
        pen.line((left + 55, base - 35, left + 55, base + 25), (110, 80, 60), 4)


def hills(pen: Pen, chance: random.Random) -> None:
    """Green hills, one behind another, and trees."""
    fade(pen, 0, 300, (110, 170, 230), (225, 235, 240))
    for layer in range(4):
        base, swing = 190 + 70 * layer, chance.uniform(20, 45)
        turn, wave = chance.uniform(0, 6), chance.uniform(90, 170)
        green = (70 + 12 * layer, 150 - 22 * layer, 60 + 5 * layer)
        tops = [(x, base + swing * math.sin(turn + x / wave)) for x in range(0, 650, 10)]
        pen.polygon([*tops, (650, 480), (0, 480)], green)
        for x, y in chance.sample(tops, 3 * layer):
            pen.polygon([(x - 14, y + 16), (x, y - 34), (x + 14, y + 16)], (28, 74, 40))


def city(pen: Pen, chance: random.Random) -> None:
    """Lit windows at night."""
    fade(pen, 0, SIZE[1], (14, 18, 42), (60, 50, 90))
    left = -20
    while left < SIZE[0]:
        wide, top = chance.randint(50, 110), chance.randint(80, 300)
        shade = chance.randint(20, 46)
        pen.rectangle((left, top, left + wide, SIZE[1]), (shade, shade, shade + 14))
        for x in range(left + 8, left + wide - 10, 18):
            for y in range(top + 12, SIZE[1], 26):
                if chance.random() < 0.55:
                    pen.rectangle((x, y, x + 8, y + 12), (250, 214, 120))
        left += wide + chance.randint(0, 8)


KINDS = {"beach": beach, "hills": hills, "city": city}

if __name__ == "__main__":
    main()
