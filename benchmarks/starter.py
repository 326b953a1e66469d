"""Is a trained encoder good enough to come with the program, and small enough?

Scores it, untouched, on both labelled sets (it never saw their photos) beside 8x8 thumbnails and
the untrained network, and once more with its whitening fitted on the photos. With --write it
becomes mocosearch/starter, and its card then tells corpus, licence, command and the figures of
the untouched one. Its report, which shows photos, stays behind.
Bars: P@10 .42 on Caltech-101 and .45 on groceries; at most 25 MB.

    python -m benchmarks.starter ENCODER [--write --corpus TEXT --licence TEXT --command TEXT]
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import arguments, conclude, needed, table, temporary_home, title
from benchmarks.retrieval import SETS, baselines, labelled, learned, row, scored
from mocosearch.encoder import Encoder
from mocosearch.encoder.card import OTHERS
from mocosearch.encoder.export import TRAINED
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS
from mocosearch.home import STARTER

BARS = {"caltech101_max40": 0.42, "groceries": 0.45}
MOST_BYTES = 25e6


def main() -> None:
    parser = arguments(__doc__, runs=1)
    parser.add_argument("encoder", type=Path, help="the encoder's folder")
    parser.add_argument("--write", action="store_true", help="make it the starter")
    parser.add_argument("--corpus", default="", help="what it was trained on")
    parser.add_argument("--licence", default="", help="what may be done with it")
    parser.add_argument("--command", default="", help="how to train it again")
    args = parser.parse_args()
    title(__doc__)
    rows, figures = [], {}
    for name in SETS:
        needed(args.photos / f"{name}.tsv")
        with temporary_home() as home:
            photos = labelled(args.photos, name, home, None)
            scores = baselines(home, photos, [])
            base = max(score[10] for score in scores.values())
            encoder = str(args.encoder.absolute())
            scores["this encoder"] = score = scored(home, photos, encoder)
            scores["its whitening fitted here"] = learned(
                home, photos, ["--init", encoder], "--epochs", 0
            )
        rows += [row(photos, how, score, base) for how, score in scores.items()]
        figures |= {f"{name} p@{k}": round(score[k], 3) for k in (1, 10)}
    table(["photos", "keys", "P@1", "P@10", "P@10, of the best baseline"], rows)
    files = [args.encoder / name for name in (CARD, GRAPH, WEIGHTS, TRAINED)]
    size = sum(file.stat().st_size for file in files)
    conclude(MOST_BYTES / 1e6, size / 1e6, what="size", unit=" MB", most=True)
    for name, bar in BARS.items():
        conclude(bar, figures[f"{name} p@10"], what=f"{name}, P@10", unit="")
    if args.write:
        write(args, files, figures)


def write(args: argparse.Namespace, files: list[Path], figures: dict[str, float]) -> None:
    card = Encoder.open(args.encoder).card
    card = replace(
        card,
        corpus=args.corpus,
        licence=args.licence,
        command=args.command,
        whitening=OTHERS,
        quality={**card.quality, **figures},
    )
    shutil.rmtree(STARTER, ignore_errors=True)
    STARTER.mkdir()
    for file in files:
        shutil.copyfile(file, STARTER / file.name)
    (STARTER / CARD).write_text(card.to_json())
    Encoder.open(STARTER)


if __name__ == "__main__":
    main()
