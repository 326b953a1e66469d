"""A run's state on disk: whole or absent, the last one and the one before it."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from mocosearch.errors import StorageFailed

KEPT = 2
SECONDS = 240.0
"""Time between two checkpoints."""


def folder_of(encoder: Path) -> Path:
    """Where the checkpoints of an encoder in the making lie: hidden, beside its place."""
    return encoder.parent / f".{encoder.name}.training"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write beside and rename; older ones but the last are removed afterwards. Raises
    StorageFailed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / f"{state['steps']:010}.pt")
    # torch's writer names its own source and not the disk's reason.
    except RuntimeError as error:
        raise StorageFailed(
            f"cannot write a checkpoint into {folder}", "free some room, then go on with --resume"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    for old in sorted(folder.glob("*.pt"))[:-KEPT]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> dict[str, Any] | None:
    """The newest state that can be read; a damaged one is passed over for the one before."""
    for file in sorted(folder.glob("*.pt"), reverse=True):
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        # torch raises errors of many kinds on a damaged file; each means: not this one.
        except Exception:
            continue
        return state
    return None


def clear(folder: Path, *, keep: bool) -> None:
    """Remove the checkpoints of a run that is over, unless it may go on."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
