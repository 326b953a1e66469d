"""Checkpoints of a run on disk: written atomically; the last two remain."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from mocosearch.errors import StorageFailed

KEEP = 2
"""Number of checkpoints that remain."""
INTERVAL = 240.0
"""Seconds between two checkpoints."""


def folder_of(encoder: Path) -> Path:
    """The hidden folder beside an encoder's folder that holds its checkpoints."""
    return encoder.parent / f".{encoder.name}.training"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint to a temporary file, rename it, and delete all but the last KEEP.

    state: tensors and plain values; `steps` (int) names the file. Raises StorageFailed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / f"{state['steps']:010}.pt")
    # torch's writer reports its own source line instead of the system's error.
    except RuntimeError as error:
        raise StorageFailed(
            f"cannot write a checkpoint to {folder}", "free disk space, then continue with --resume"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    for old in sorted(folder.glob("*.pt"))[:-KEEP]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint, or None; damaged ones are skipped."""
    for file in sorted(folder.glob("*.pt"), reverse=True):
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # torch raises exceptions of many kinds on a damaged file.
        except Exception:
            continue
        return state
    return None


def clear(folder: Path, *, keep: bool) -> None:
    """Delete the checkpoints of a run, unless `keep` is true."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
