"""How long does `index` take if nothing has changed?

Baseline: a process that only runs `import torch, torchvision.models`.
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
    linked,
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
    parser = arguments(__doc__, runs=5)
    parser.add_argument("--count", type=int, help="the most photos, as links [all]")
    args = parser.parse_args()
    photos = needed(args.photos / "caltech101")
    files = jpegs(args.photos, args.count or 9144)
    title(__doc__)
    with temporary_home() as home:
        encoder = untrained(home, jpegs(args.photos, 300))
        if args.count:
            photos = home / "photos"
            linked(files, photos)
        mocosearch("index", photos, "--index", home / "index", "--encoder", encoder)
        ways = {
            OURS: lambda: unchanged(photos, home / "index", len(files)),
            BASELINE: lambda: whole_process(TORCH_IMPORT),
        }
        results = alternating(ways, args.runs)
    seconds = {name: [run.seconds for run in runs] for name, runs in results.items()}
    base = middle(seconds[BASELINE])
    rows = [[name, ranged(s), f"{middle(s) / base:.2f}x"] for name, s in seconds.items()]
    table(["what", "s: median (range)", "ratio"], rows)
    conclude(BAR, middle(seconds[OURS]), what="whole process", unit=" s", most=True)


def unchanged(photos: Path, index: Path, expected: int) -> Run:
    run = mocosearch("index", photos, "--index", index, "--json")
    counts = run.json()
    assert counts["unchanged"] > 0.98 * expected, counts
    assert counts["embedded"] == counts["moved"] == counts["deleted"] == 0, counts
    return run


if __name__ == "__main__":
    main()
