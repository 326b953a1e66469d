"""What a run finds of an earlier one in its place: a checkpoint to resume, and an encoder."""

from pathlib import Path
from typing import Any

from mocosearch.encoder.card import Card
from mocosearch.encoder.runtime import Encoder
from mocosearch.errors import Damaged, NotFound, Unsuitable
from mocosearch.training import checkpoint
from mocosearch.training.plan import resumable
from mocosearch.training.processes import launch


def state_to_resume(folder: Path, resume: bool) -> dict[str, Any] | None:
    """The last checkpoint if the run is to be resumed: if asked for, or if torchrun has restarted
    the processes of this very run.

    folder: the encoder's. Raises NotFound if there is none, and Unsuitable if a new run would
    discard a long one.
    """
    runs = checkpoint.folder_of(folder)
    state = checkpoint.latest(runs)
    if resume and state is None:
        raise NotFound(f"no run of {folder.name} to resume", "start one without --resume")
    if resume or state is None:
        return state
    if launch.restarts() > 0 and state.get("launcher") == launch.launcher():
        return state
    seconds = train_seconds(state)
    if seconds > checkpoint.INTERVAL and resumable(state):
        hours, minutes = divmod(int(seconds / 60), 60)
        duration = f"{hours} h {minutes} min" if hours else f"{minutes} min"
        raise Unsuitable(
            f"an unfinished run of {folder.name} has trained for {duration}",
            f"continue it with --resume, choose another --name, or delete {runs}",
        )
    return None


def train_seconds(state: dict[str, Any]) -> float:
    """Seconds of training; older versions stored only those of the whole run."""
    seconds: float = state.get("learned", state["elapsed"])
    return seconds


def previous_encoder(folder: Path, state: dict[str, Any] | None) -> Card | None:
    """The card of the encoder in the folder, unless the resumed run itself wrote it."""
    if state is not None and not state.get("earlier", True):
        return None
    try:
        return Encoder.open(folder).card
    except (NotFound, Damaged):
        return None
