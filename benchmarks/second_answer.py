"""How long does the second answer of `query --interactive` take in a terminal?

Baseline: a whole `mocosearch query` of the same photo, from a cold start.
Bar: at most 30 ms from the end of a line to the next prompt: for the path of another photo, for
the number of a result, and for `+3 -5`.

    python -m benchmarks.second_answer [--count 2000]

The program runs in a pseudo-terminal, so the time is what a user waits for.
"""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from collections.abc import Sequence

from benchmarks.cold_query import make_index
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
"""Wide enough that no line is redrawn because of its length."""


class Terminal:
    """The program in a pseudo-terminal."""

    def __init__(self, words: Sequence[str]) -> None:
        self.mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        self.process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)

    def until_prompt(self) -> bytes:
        """What it prints up to its next prompt. Raises OSError if it exits instead."""
        output = b""
        while PROMPT not in output:
            output += os.read(self.mine, 65536)
        return output

    def time_answer(self, line: str) -> tuple[float, int]:
        """Milliseconds to the next prompt, and how many lines were printed."""
        os.write(self.mine, os.fsencode(line))
        # The echo of the line is not part of the answer.
        time.sleep(0.02)
        os.read(self.mine, 65536)
        start = time.perf_counter()
        os.write(self.mine, b"\r")
        output = self.until_prompt()
        return 1000 * (time.perf_counter() - start), output.count(b"\n") - 1

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
        index = make_index(home, files)
        cold = [mocosearch("query", files[0], "--index", index).seconds for _ in range(3)]
        terminal = Terminal([str(COMMAND), "query", str(files[0]), "-i", "--index", str(index)])
        terminal.until_prompt()
        lines = {
            "the path of a photo": [str(path) for path in spread(files, args.runs)],
            "3": ["3"] * args.runs,
            "+3 -5": ["+3 -5"] * args.runs,
        }
        times = {name: measure(terminal, typed) for name, typed in lines.items()}
        terminal.end()
    rows = [[f"second answer, {name}", ranged(ms, 1)] for name, ms in times.items()]
    rows.append(["a whole query, cold", ranged([1000 * s for s in cold], 1)])
    table(["query", "ms: median (range)"], rows)
    worst = max(map(middle, times.values()))
    conclude(BAR, worst, what="the second answer", unit=" ms", most=True)


def measure(terminal: Terminal, lines: Sequence[str]) -> list[float]:
    answers = [terminal.time_answer(line) for line in lines]
    assert all(count >= 10 for _, count in answers), f"no answer to {lines[0]}"
    return [ms for ms, _ in answers]


if __name__ == "__main__":
    main()
