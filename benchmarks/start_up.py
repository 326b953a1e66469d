"""How long do `mocosearch --help` and `mocosearch --version` take?

Baseline: `rclip --version`, another photo search for the terminal. It takes some gigabytes of disk
space, so it is not a dependency. To install it in a folder of its own:

    python3 -m venv rclip && rclip/bin/pip install rclip

Bars: `mocosearch --help` and `mocosearch --version` take at most 0.15 s, and at most 0.5 of
`rclip --version` in the same run. Without rclip, only the first bar is checked.

    python -m benchmarks.start_up --rclip rclip/bin/rclip
"""

import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import (
    Run,
    alternating,
    arguments,
    conclude,
    middle,
    mocosearch,
    needed,
    ranged,
    table,
    temporary_home,
    title,
    whole_process,
)

SECONDS, SHARE = 0.15, 0.5
BASELINE = "rclip --version"
INTERPRETER = "python -c pass"


def main() -> None:
    parser = arguments(__doc__, runs=15)
    parser.add_argument("--rclip", type=Path, help="path of the program rclip, if it is installed")
    args = parser.parse_args()
    ways = {f"mocosearch {word}": partial(mocosearch, word) for word in ("--help", "--version")}
    ours = list(ways)
    ways[INTERPRETER] = partial(whole_process, [sys.executable, "-c", "pass"])
    if args.rclip:
        ways[BASELINE] = partial(whole_process, [str(needed(args.rclip)), "--version"])
    title(__doc__)
    with temporary_home():
        alternating(ways, 1)  # Fill the system's cache, write byte code.
        results = alternating(ways, args.runs)
    report(results, ours)


def report(results: dict[str, list[Run]], ours: list[str]) -> None:
    medians = {name: middle(run.seconds for run in runs) for name, runs in results.items()}
    base = medians.get(BASELINE)
    rows = [
        [
            name,
            ranged([run.seconds for run in runs], 3),
            f"{medians[name] / base:.3f}" if base else "not measured",
        ]
        for name, runs in results.items()
    ]
    table(["whole process", "s: median (range)", f"ratio to {BASELINE}"], rows)
    slowest = max(medians[name] for name in ours)
    conclude(SECONDS, slowest, what="start-up, the slower of the two", unit=" s", most=True)
    if base:
        conclude(SHARE, slowest / base, what=f"start-up / {BASELINE}", most=True)


if __name__ == "__main__":
    main()
