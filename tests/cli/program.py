"""The real command, in a separate home, on generated photos."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

PROGRAM = Path(sys.executable).parent / "mocosearch"
Run = Callable[..., subprocess.CompletedProcess[str]]


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


def command(*words: object, home: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the installed program."""
    line = [str(PROGRAM), *map(str, words)]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        line, env=environment(home), capture_output=True, text=True, timeout=200, **options
    )
