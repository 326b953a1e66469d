"""Python processes that run a module of this program."""

import os
import sys
from pathlib import Path


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module; start it with `environment`.

    -P keeps the current folder off the import path: it may hold files of anyone's.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """The variables of this process, and the folder of our packages first on the import path.

    A checkout that is not installed is importable only through the current folder.
    """
    others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    # An empty entry would be the current folder.
    paths = [str(Path(__file__).parents[1]), *filter(None, others)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
