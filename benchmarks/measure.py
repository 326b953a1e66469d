"""Shared by the benchmarks: photos, homes, processes, medians, tables and conclusions."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")

HERE = Path(__file__).parent
DATA = Path(__file__).parents[2] / "shared" / "data"
"""Folder of the test pictures, unless --photos names another."""
COMMAND = Path(sys.executable).parent / "mocosearch"
TORCH_IMPORT = [sys.executable, "-c", "import torch, torchvision.models"]
SKIPPED_SOME = 3


@dataclass(frozen=True)
class Run:
    """One process from start to end: seconds of wall time, and its stdout.

    peak: the largest resident size in bytes, of the process or of one that it waited for.
    """

    seconds: float
    peak: int
    output: str

    def json(self) -> Any:
        """The JSON document that it printed."""
        return json.loads(self.output)


def arguments(doc: str | None, *, runs: int) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, default=DATA, help="the folder of test pictures")
    parser.add_argument("--runs", type=int, default=runs, help=f"runs of each way [{runs}]")
    return parser


def needed(path: Path) -> Path:
    """The path, if it exists; otherwise the program ends with a line that says what to do."""
    if not path.exists():
        sys.exit(f"no test pictures: {path} is missing; name their folder with --photos")
    return path


def spread(items: Sequence[T], count: int) -> list[T]:
    """`count` evenly spaced items of the sequence; all of them where it is shorter."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def jpegs(photos: Path, count: int) -> list[Path]:
    """`count` JPEGs of Caltech-101, from all classes."""
    return spread(sorted(needed(photos / "caltech101").rglob("*.jpg")), count)


def linked(files: Iterable[Path], folder: Path) -> list[Path]:
    """A folder of links to files, named by number so that the names reveal no label."""
    folder.mkdir(parents=True)
    links = []
    for number, file in enumerate(files):
        link = folder / f"{number:06}{file.suffix}"
        link.symlink_to(file.absolute())
        links.append(link)
    return links


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that is MOCOSEARCH_HOME meanwhile, here and in child processes.

    Child processes cache their byte code in the outermost home, whatever the environment says:
    without it, every import of torch compiles two thousand files, which users see only once.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="mocosearch-benchmark-") as folder:
        os.environ["MOCOSEARCH_HOME"] = folder
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.setdefault("PYTHONPYCACHEPREFIX", os.path.join(folder, "bytecode"))
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)


def mocosearch(*words: str | Path | int, meanwhile: Callable[[int], None] | None = None) -> Run:
    """One run of the real command."""
    return whole_process([os.fspath(COMMAND), *map(str, words)], meanwhile=meanwhile)


def script(name: str, *words: str | Path | int) -> Run:
    """One run of a script in this folder."""
    return whole_process([sys.executable, os.fspath(HERE / name), *map(str, words)])


def untrained(home: Path, photos: Sequence[Path], *options: str) -> Path:
    """An encoder without training: as fast as a trained one, and ready in seconds."""
    linked(photos, home / "for-the-encoder")
    folder = home / "encoder"
    start = ["--init", "none", "--epochs", "0"]
    mocosearch("train", home / "for-the-encoder", "--name", folder, *start, *options)
    return folder


def whole_process(command: Sequence[str], *, meanwhile: Callable[[int], None] | None = None) -> Run:
    """Run a process to its end and measure its time and peak memory from outside.

    meanwhile: called with the process id every 20 ms while it runs. Raises SystemExit with the
    end of the process's stderr where it fails. On Linux a child's peak is at least the size of its
    parent at the start, so a parent that measures memory should stay small.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        status, usage = _waited(process.pid, meanwhile)
        seconds = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in (0, SKIPPED_SOME):
            message = err.read().decode(errors="replace")[-2000:]
            sys.exit(f"{' '.join(command)[:300]}\nended with {process.returncode}:\n{message}")
        unit = 1 if sys.platform == "darwin" else 1024
        return Run(seconds, usage.ru_maxrss * unit, out.read().decode(errors="replace"))


def _waited(pid: int, meanwhile: Callable[[int], None] | None) -> tuple[int, Any]:
    if meanwhile is None:
        return os.wait4(pid, 0)[1:]
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage
        meanwhile(pid)
        time.sleep(0.02)


def alternating(ways: Mapping[str, Callable[[], T]], runs: int) -> dict[str, list[T]]:
    """Run all ways in turn, A B A B, so that a slow minute of the machine affects all of them."""
    results: dict[str, list[T]] = {name: [] for name in ways}
    for number in range(runs):
        for name, way in ways.items():
            say(f"run {number + 1} of {runs}: {name}")
            results[name].append(way())
    return results


def middle(values: Iterable[float]) -> float:
    """The median."""
    return median(values)


def ranged(values: Sequence[float], digits: int = 2) -> str:
    """Median and range as text: `1.20 (1.10 to 1.40)`."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a markdown table, with columns aligned for a terminal."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


def title(doc: str | None) -> None:
    """Print the question, the machine and the date."""
    print(f"{(doc or '').strip().splitlines()[0]}\n{machine()}\n", flush=True)


def machine() -> str:
    """Processor, cores, number formats, software, load and date in one line."""
    model, flags = _processor()
    formats = [name for name in ("avx512_bf16", "amx_bf16") if name in flags]
    has = ", ".join(formats) or "neither avx512_bf16 nor amx_bf16"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    software = ", ".join(f"{name} {version(name)}" for name in ("torch", "openvino", "pillow"))
    date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = f"load before {os.getloadavg()[0]:.1f}"
    python = f"python {platform.python_version()}"
    return f"{model}, {cores} cores, {has}; {python}, {software}; {load}; {date}"


def _processor() -> tuple[str, frozenset[str]]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), frozenset()
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return fields.get("model name", platform.machine()), frozenset(fields.get("flags", "").split())


def conclude(bar: float, value: float, *, what: str, unit: str = "x", most: bool = False) -> None:
    """Print the conclusion: the bar, the figure, and whether it reached the bar.

    most: the bar is the most allowed, not the least.
    """
    reached = value <= bar if most else value >= bar
    sense = "at most " if most else ""
    verdict = "reached" if reached else "missed"
    print(f"\n{what}: bar {sense}{bar:g}{unit}: {value:.3g}{unit}, {verdict}", flush=True)
