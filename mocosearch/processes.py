"""Python processes: those that run a module of this program, and forks, which cannot."""

import os
import sys
from functools import cache
from pathlib import Path

from mocosearch.errors import Unsuitable


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


def check_fork(library: str) -> None:
    """Raises Unsuitable in a fork of a process that has called this for the same library.

    A fork has none of the threads that OpenVINO and FAISS wait for, and would wait for ever.
    """
    if _first_user(library) != os.getpid():
        raise fork_error()


@cache
def _first_user(library: str) -> int:
    """The process that called this first, also in its forks."""
    return os.getpid()


def fork_error() -> Unsuitable:
    """The error for what a fork has inherited."""
    return Unsuitable(
        "an encoder or index that was in use before a fork cannot be used after it",
        "start processes with the method spawn of multiprocessing, and open the index in each",
    )
