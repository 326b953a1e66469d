"""The papers' findings at a small size: trainings, scores and conclusions."""

import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from benchmarks.measure import say, table
from benchmarks.papers.pictures import read
from benchmarks.papers.results import Line, Results
from benchmarks.papers.rows import ROWS, start
from benchmarks.papers.scores import knn_and_linear, papers_linear

LABELLED = 10_000
"""Pictures that the kNN votes with, and test pictures."""
TIE = 0.01
"""Scores that differ by less are called equal; the standard error of one is .005."""

Scores = dict[str, float]


@dataclass(frozen=True)
class Finding:
    """rows: names in ROWS. theirs: the papers' figure of a row, as text. claim: in words;
    holds: whether scores by row, 0..1, show it.
    """

    claim: str
    rows: tuple[str, ...]
    theirs: dict[str, str]
    holds: Callable[[Scores], bool]


def _gain(s: Scores, row: str) -> float:
    return s[row] - s["untrained"]


def _equal(a: float, b: float) -> bool:
    return abs(a - b) < TIE


FINDINGS: dict[str, Finding] = {
    "momentum-0": Finding(
        "momentum 0 fails: it gains less than half of what .99 does",
        ("untrained", "m 0", "base"),
        {"m 0": "fails", "base": "57.8"},
        lambda s: math.isnan(s["m 0"]) or _gain(s, "m 0") < _gain(s, "base") / 2,
    ),
    "momentum": Finding(
        "momentum .9 is worse than .99, .999 and .9999",
        ("m .9", "base", "m .999", "m .9999"),
        {"m .9": "55.2", "base": "57.8", "m .999": "59.0", "m .9999": "58.9"},
        lambda s: all(s["m .9"] < s[row] - TIE for row in ("base", "m .999", "m .9999")),
    ),
    "shuffling": Finding(
        "without shuffling BN the loss is lower and the network worse",
        ("base", "without shuffling"),
        {"without shuffling": "worse; 4 points on CIFAR-10 after 800 epochs (the demo's page)"},
        lambda s: s["without shuffling"] < s["base"] - TIE,
    ),
    "mlp": Finding(
        "an MLP head is better than a linear one",
        ("v1", "v1, MLP"),
        {"v1": "60.6", "v1, MLP": "66.2"},
        lambda s: s["v1, MLP"] > s["v1"] + TIE,
    ),
    "views": Finding(
        "v2's views are better than v1's",
        ("v1", "v1, views"),
        {"v1": "60.6", "v1, views": "63.4"},
        lambda s: s["v1, views"] > s["v1"] + TIE,
    ),
    "cosine": Finding(
        "a cosine schedule is no worse, alone and with the other two",
        ("v1", "v1, cosine", "v1, MLP, views", "base"),
        {"v1, MLP, views": "67.3", "base": "67.5"},
        lambda s: s["v1, cosine"] > s["v1"] - TIE and s["base"] > s["v1, MLP, views"] - TIE,
    ),
    "together": Finding(
        "MLP, views and cosine together are the best",
        ("v1", "v1, MLP", "v1, views", "v1, cosine", "base"),
        {"v1": "60.6", "v1, MLP": "66.2", "v1, views": "63.4", "base": "67.5"},
        lambda s: s["base"] > max(s[r] for r in ("v1", "v1, MLP", "v1, views", "v1, cosine")) - TIE,
    ),
    "queue": Finding(
        "more keys are better, up to a limit",
        ("K 64", "K 256", "base", "K 16384"),
        {"K 16384": "60.6 with 65,536 keys", "base": "saturated at 4,096 on CIFAR-10 (the demo)"},
        lambda s: s["K 64"] < s["base"] - TIE and s["K 16384"] > s["base"] - TIE,
    ),
    "end-to-end": Finding(
        "end-to-end keys are about as good as the queue with as many keys",
        ("K 64", "end-to-end 64", "K 256", "end-to-end 256"),
        {"end-to-end 64": "similar", "end-to-end 256": "similar"},
        lambda s: all(abs(s[f"K {k}"] - s[f"end-to-end {k}"]) < 2 * TIE for k in (64, 256)),
    ),
    "bank": Finding(
        "a memory bank is worse than the queue with as many keys",
        ("K 256", "bank 256", "base", "bank 4096"),
        {"bank 4096": "58.0 with 65,536 keys, the queue 60.6"},
        lambda s: s["bank 256"] < s["K 256"] - TIE and s["bank 4096"] < s["base"] - TIE,
    ),
    "temperature": Finding(
        "with an MLP head, T .2 is better than .07 and .5",
        ("T .07", "base", "T .5"),
        {"T .07": "62.9", "base": "66.2", "T .5": "64.3"},
        lambda s: s["base"] > max(s["T .07"], s["T .5"]) + TIE,
    ),
    "symmetric": Finding(
        "a symmetric loss is better at as many pairs, and like one direction of twice as many",
        ("base", "symmetric", "symmetric, half the pairs"),
        {"base": "82.6 (the demo, 200 epochs)", "symmetric": "85.3"},
        lambda s: (
            s["symmetric"] > s["base"] + TIE
            and abs(s["symmetric, half the pairs"] - s["base"]) < 2 * TIE
        ),
    ),
    "predictor": Finding(
        "v3's predictor is better than none",
        ("v3, no predictor", "v3"),
        {"v3": "about 1 point better (ViT-B/16)"},
        lambda s: s["v3"] > s["v3, no predictor"] + TIE,
    ),
    "patches": Finding(
        "a frozen random patch projection is no worse than a learned one",
        ("v3 ViT", "v3 ViT, learned patches"),
        {"v3 ViT": "more stable, and better at high rates"},
        lambda s: s["v3 ViT"] > s["v3 ViT, learned patches"] - TIE,
    ),
}


@dataclass(frozen=True)
class Settings:
    pairs: int
    """Of each row."""
    seeds: int = 1
    jobs: int = 1
    """Rows that are trained at the same time, each with one thread."""
    only: tuple[str, ...] = ()
    """Names of findings; all if empty."""
    limit: int | None = None
    """Pictures of each label."""
    minutes: float = math.inf
    """After which no row is begun; 0 prints what is done."""


def findings(folder: Path, out: Path, settings: Settings) -> None:
    """Train the rows that have no result yet, and print the conclusions."""
    chosen = {name: FINDINGS[name] for name in settings.only or FINDINGS}
    results = Results(out / "findings.jsonl")
    wanted = {row for finding in chosen.values() for row in finding.rows}
    tasks = [
        (row, seed)
        for seed in range(settings.seeds)
        for row in ROWS
        if row in wanted and not results.where(row=row, seed=seed, **_key(settings))
    ]
    for part in ("train", "test"):
        read(folder, part, out, settings.limit)
    for number, line in enumerate(_run_all(tasks, folder, out, settings), 1):
        results.add(line)
        say(
            f"{number} of {len(tasks)}: {line['row']}, seed {line['seed']}: kNN {line['knn']:.1%}, "
            f"linear {line['linear']:.1%}, {line['seconds']:.0f} s"
        )
    _print(chosen, results.where(**_key(settings)), settings.seeds)


def _key(settings: Settings) -> dict[str, Any]:
    return {"run_pairs": settings.pairs, "limit": settings.limit}


def _run_all(
    tasks: list[tuple[str, int]], folder: Path, out: Path, settings: Settings
) -> Iterator[Line]:
    """The results as they come; no row is begun after the settings' minutes."""
    end = time.monotonic() + 60 * settings.minutes
    rest = iter(tasks)
    begin = lambda: next(rest, None) if time.monotonic() < end else None  # noqa: E731
    if settings.jobs == 1:
        while task := begin():
            yield run_row(*task, folder, out, settings)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(settings.jobs, get_context("spawn")) as pool:
        running: set[Future[Line]] = set()
        while True:
            while len(running) < settings.jobs and (task := begin()):
                running.add(pool.submit(run_row, *task, folder, out, settings))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for job in done:
                yield job.result()


def run_row(name: str, seed: int, folder: Path, out: Path, settings: Settings) -> Line:
    """Train one row and score it."""
    train, test = (read(folder, part, out, settings.limit) for part in ("train", "test"))
    row, begun = ROWS[name], time.monotonic()
    training = start(row, train.pixels, seed)
    steps = int(settings.pairs * row.pairs) // row.recipe.batch
    for step in range(steps):
        training.losses.append(training.step(step / steps).item())
        if not math.isfinite(training.losses[-1]):
            break
    seconds = time.monotonic() - begun
    last = training.losses[-max(1, steps // 10) :]
    network, labelled = training.model.encoder_q[0], (train.some(LABELLED), test.some(LABELLED))
    line: Line = {"row": name, "seed": seed, **_key(settings), "steps": training.steps}
    line |= {"loss": mean(last) if last else None, "chance": training.model.chance_loss}
    line |= knn_and_linear(network, *labelled)
    if name == "base":
        line["probes"] = papers_linear(network, *labelled)
    return line | {"seconds": round(seconds, 1), "threads": torch.get_num_threads()}


def _print(chosen: dict[str, Finding], lines: list[Line], seeds: int) -> None:
    by_row: dict[str, list[Line]] = {}
    for line in lines:
        if line["seed"] < seeds:
            by_row.setdefault(line["row"], []).append(line)
    scores = {
        how: {row: mean(line[how] for line in same) for row, same in by_row.items()}
        for how in ("knn", "linear")
    }
    conclusions = []
    for name, finding in chosen.items():
        print(f"\n## {name}: {finding.claim}\n")
        cells = [_cells(row, by_row[row], finding) for row in finding.rows if row in by_row]
        table(["row", "kNN", "linear", "loss (chance)", "minutes", "the papers'"], cells)
        conclusions.append(f"{name}: {_conclusion(finding, scores)}")
    for line in by_row.get("base", []):
        if probes := line.get("probes"):
            text = ", ".join(f"{how} {value:.3f}" for how, value in probes.items())
            print(f"\nlinear classifiers on the same features (base, seed {line['seed']}): {text}")
    print("\n## Conclusions\n\n" + "\n".join(conclusions))


def _cells(row: str, lines: list[Line], finding: Finding) -> list[str]:
    def shares(how: str) -> str:
        values = [line[how] for line in lines]
        text = f"{100 * mean(values):.1f}"
        spread = f" ({100 * min(values):.1f} to {100 * max(values):.1f})"
        return text + (spread if len(values) > 1 else "")

    losses = [line["loss"] for line in lines if line["loss"] is not None]
    loss = f"{mean(losses):.2f} ({lines[0]['chance']:.2f})" if losses else ""
    minutes = f"{sum(line['seconds'] for line in lines) / 60:.1f}"
    theirs = finding.theirs.get(row, "")
    return [row, shares("knn"), shares("linear"), loss, minutes, theirs]


def _conclusion(finding: Finding, scores: dict[str, Scores]) -> str:
    if any(row not in scores["knn"] for row in finding.rows):
        return "not all rows are done"
    holds = {how: finding.holds(by_row | _untrained(by_row)) for how, by_row in scores.items()}
    if all(holds.values()):
        return f"appears ({finding.claim})"
    if any(holds.values()):
        how = "kNN" if holds["knn"] else "the linear classifier"
        return f"appears by {how} only ({finding.claim})"
    return f"does not appear at this size ({finding.claim})"


def _untrained(by_row: Scores) -> Scores:
    return {"untrained": by_row.get("untrained", 0.0)}
