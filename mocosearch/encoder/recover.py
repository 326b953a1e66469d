"""Repair after a kill in the middle of an export.

`export` replaces an encoder by two renames: the old folder to a hidden name, the new one to its
place. A process killed between them leaves only the hidden folder.
"""

import os
import shutil
import time
from pathlib import Path

WAIT = 1.0
"""Seconds that a living process may take between its two renames."""


def hidden_folder(folder: Path, suffix: str) -> Path:
    """The hidden folder of this process beside an encoder's folder; suffix: `part` or `old`."""
    return folder.parent / f".{folder.name}.{os.getpid()}.{suffix}"


def recover(folder: Path) -> None:
    """Restore an encoder's folder that a killed export left under its hidden name, if any."""
    for old in _hidden(folder.parent, "old"):
        if _target(old) == folder:
            _restore(old)


def recover_all(parent: Path) -> None:
    """The same for all encoders in a folder."""
    for old in _hidden(parent, "old"):
        _restore(old)


def _restore(old: Path) -> None:
    folder = _target(old)
    if _alive(int(old.suffixes[-2][1:])):
        deadline = time.monotonic() + WAIT
        while not folder.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    if folder.exists():
        return
    try:
        old.rename(folder)
    except OSError:
        return  # Another process restored it.
    shutil.rmtree(old.with_suffix(".part"), ignore_errors=True)


def _hidden(parent: Path, suffix: str) -> list[Path]:
    """Hidden folders named .NAME.PID.SUFFIX."""
    if not parent.is_dir():
        return []
    return [
        path
        for path in parent.iterdir()
        if path.name.startswith(".")
        and path.suffix == f".{suffix}"
        and len(path.suffixes) >= 2
        and path.suffixes[-2][1:].isdecimal()
    ]


def _target(hidden: Path) -> Path:
    name = hidden.name[1:].rsplit(".", 2)[0]
    return hidden.parent / name


def _alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # os.kill would end the process there.
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
