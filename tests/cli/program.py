"""The real command, in a separate home, on generated photos."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import forks
import numpy as np
from PIL import Image

PROGRAM = Path(sys.executable).parent / "mocosearch"
Run = Callable[..., subprocess.CompletedProcess[str]]
SECONDS = 200
"""Limit for one command."""


def make_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Smooth coloured pictures that all differ everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        path = folder / f"photo {number:02}.jpg"
        picture = Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC)
        picture.save(path, quality=92)
        paths.append(path)
    return paths


def environment(home: Path) -> dict[str, str]:
    """The environment of a user, with colours off and a separate home."""
    return {**os.environ, "MOCOSEARCH_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "100"}


def command(
    *words: object, home: Path, fork: bool = True, **options: object
) -> subprocess.CompletedProcess[str]:
    """Run the installed program.

    fork: take a fork for it, unless the options or the environment need a new process.
    prepare (an option): called in the fork before the program, as `forks.start` says.
    """
    line, env = [str(PROGRAM), *map(str, words)], environment(home)
    if fork and options.keys() <= {"cwd", "input", "prepare"} and forks.suits(env):
        return _run_fork(line, env, **options)  # type: ignore[arg-type]
    options.pop("prepare", None)
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        line, env=env, capture_output=True, text=True, timeout=SECONDS, **options
    )


def _run_fork(
    line: list[str],
    env: dict[str, str],
    cwd: Path | None = None,
    input: str = "",
    prepare: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(input)
        process = forks.start(line, env, cwd or Path.cwd(), streams, prepare)
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(line, SECONDS)
        stdout, stderr = (path.read_text() for path in streams[1:])
    return subprocess.CompletedProcess(line, process.exitcode, stdout, stderr)
