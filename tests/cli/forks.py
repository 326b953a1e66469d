"""The program in forks of a process that has imported its modules.

A new process spends a third of a second on them, and several with torch.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

MODULES = ("cli.main", "indexes.index", "faiss", "openvino", "torchvision.models")
LATE = {
    *("MOCOSEARCH_HOME", "COLUMNS", "NO_COLOR", "TERM", "COLORTERM", "TMUX", "TERM_PROGRAM"),
    *("KITTY_WINDOW_ID", "LC_TERMINAL", "PYTEST_CURRENT_TEST", "TORCHINDUCTOR_CACHE_DIR"),
}
"""Variables of the environment that nothing reads while the modules are imported. torch sets the
last one in a process that has used it."""


READ = ("MOCOSEARCH_", "PYTHON", "LC_", "LANG", "HOME", "XDG_", "PATH", "TMP", "OMP_", "MPL")
"""How the names of variables begin that the program or its libraries read. Libraries of the tests
set others in their own process."""


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if value and name.startswith(READ) and name not in LATE
    }


SERVER = _early(os.environ)
"""The server's environment, before any test changes it."""


def suits(env: dict[str, str]) -> bool:
    """Whether a fork is like a new process in this environment."""
    return _early(env) == SERVER


def start(
    line: Sequence[str],
    env: dict[str, str],
    folder: Path,
    streams: Sequence[str | Path],
    prepare: Callable[[], None] | None = None,
) -> ForkServerProcess:
    """Start the program with a command line.

    streams: the files for stdin, stdout and stderr. A terminal can be all three.
    prepare: a function of a module, called in the fork before the program.
    """
    process = _context().Process(target=_become, args=(line, env, folder, streams, prepare))
    process.start()
    return process


@cache
def _context() -> ForkServerContext:
    """The server starts with the first fork."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*MODULES, __name__])
    return context


def _become(
    line: Sequence[str],
    env: dict[str, str],
    folder: Path,
    streams: Sequence[str | Path],
    prepare: Callable[[], None] | None,
) -> None:
    from cli.main import run

    if prepare:
        prepare()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for number, (name, file) in enumerate(zip(("stdin", "stdout", "stderr"), streams, strict=True)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOCTTY)
        os.dup2(opened, number)
        os.close(opened)
        setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    sys.argv = list(line)
    run()
