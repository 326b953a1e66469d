"""How fast is the second answer of `query --interactive`, typed into a terminal?

Baseline: a whole `mocosearch query` of the same photo, from a cold start.
Bar: from the line's end to the next prompt at most 30 ms: for the path of another photo, for a
result by its number, and for `+3 -5`.

    python -m benchmarks.second_answer [--count 2000]

A pseudo-terminal stands in for the user: what is measured is what one waits for.
"""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

from benchmarks.cold_query import indexed
from benchmarks.measure import (
    COMMAND,
    arguments,
    conclude,
    jpegs,
    middle,
    mocosearch,
    ranged,
    spread,
    table,
    temporary_home,
    title,
)

BAR = 30.0
PROMPT = b"query> "
COLUMNS = 1000
"""So wide that no line is drawn again for its length."""


class Terminal:
    """The program in a pseudo-terminal."""

    def __init__(self, words: Sequence[str]) -> None:
        self.mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)

    def until_prompt(self) -> bytes:
        """What it prints up to its next prompt. Raises OSError where it ended instead."""
        said = b""
        while PROMPT not in said:
            said += os.read(self.mine, 65536)
        return said

    def answered(self, line: str) -> tuple[float, int]:
        """Milliseconds to the next prompt, and how many lines were printed."""
        os.write(self.mine, os.fsencode(line))
        # The echo of the line itself is no part of the answer.
        time.sleep(0.02)
        os.read(self.mine, 65536)
        begun = time.perf_counter()
        os.write(self.mine, b"\r")
        said = self.until_prompt()
        return 1000 * (time.perf_counter() - begun), said.count(b"\n") - 1

    def end(self) -> None:
        os.write(self.mine, b"q\r")
        self.process.wait(10)
        os.close(self.mine)


def main() -> None:
    parser = arguments(__doc__, runs=20)
    parser.add_argument("--count", type=int, default=2000, help="photos in the index [2000]")
    args = parser.parse_args()
    files = jpegs(args.photos, args.count)
    title(__doc__)
    with temporary_home() as home:
        index = indexed(home, files)
        cold = [mocosearch("query", files[0], "--index", index).seconds for _ in range(3)]
        terminal = Terminal([str(COMMAND), "query", str(files[0]), "-i", "--index", str(index)])
        terminal.until_prompt()
        ways = {
            "the path of a photo": [str(path) for path in spread(files, args.runs)],
            "3": ["3"] * args.runs,
            "+3 -5": ["+3 -5"] * args.runs,
        }
        taken = {name: asked(terminal, lines) for name, lines in ways.items()}
        terminal.end()
    rows = [[f"second answer, {name}", ranged(some, 1)] for name, some in taken.items()]
    rows.append(["a whole query, cold", ranged([1000 * s for s in cold], 1)])
    table(["question", "ms: median (range)"], rows)
    worst = max(middle(some) for some in taken.values())
    conclude(BAR, worst, what="the second answer", unit=" ms", most=True)


def asked(terminal: Terminal, lines: Sequence[str]) -> list[float]:
    told = [terminal.answered(line) for line in lines]
    assert all(printed >= 10 for _, printed in told), f"no answer to {lines[0]}"
    return [ms for ms, _ in told]


if __name__ == "__main__":
    main()
