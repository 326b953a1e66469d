"""How long does `index` take where nothing has changed?

Baseline: a process that runs `import torch, torchvision.models` and ends.
Bar: the whole process of `mocosearch index` over 9,144 unchanged photos takes under 1.0 s.

    python -m benchmarks.unchanged_index
"""

from pathlib import Path

from benchmarks.measure import (
    TORCH_IMPORT,
    Run,
    alternating,
    arguments,
    conclude,
    jpegs,
    middle,
    mocosearch,
    needed,
    ranged,
    table,
    temporary_home,
    title,
    untrained,
    whole_process,
)

BAR = 1.0
OURS, BASELINE = "mocosearch index, unchanged", "import torch, torchvision.models"


def main() -> None:
    args = arguments(__doc__, runs=5).parse_args()
    photos = needed(args.photos / "caltech101")
    title(__doc__)
    with temporary_home() as home:
        encoder = untrained(home, jpegs(args.photos, 300))
        mocosearch("index", photos, "--index", home / "index", "--encoder", encoder)
        ways = {
            OURS: lambda: unchanged(photos, home / "index"),
            BASELINE: lambda: whole_process(TORCH_IMPORT),
        }
        results = alternating(ways, args.runs)
    seconds = {name: [run.seconds for run in runs] for name, runs in results.items()}
    base = middle(seconds[BASELINE])
    rows = [[name, ranged(took), f"{middle(took) / base:.2f}x"] for name, took in seconds.items()]
    table(["what", "s: median (range)", "ratio"], rows)
    conclude(BAR, middle(seconds[OURS]), what="whole process", unit=" s", most=True)


def unchanged(photos: Path, index: Path) -> Run:
    run = mocosearch("index", photos, "--index", index, "--json")
    told = run.json()
    assert told["unchanged"] > 9000, told
    assert told["embedded"] == told["moved"] == told["deleted"] == 0, told
    return run


if __name__ == "__main__":
    main()
