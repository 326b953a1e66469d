"""What torchrun tells its processes in their environment. Nothing here imports torch."""

import os

_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def several_processes() -> bool:
    """Whether this is one of several processes that torchrun, or a program like it, started."""
    return all(name in os.environ for name in _NAMES) and int(os.environ["WORLD_SIZE"]) > 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ["RANK"]) if several_processes() else 0


def local_rank() -> int:
    """The number of this process on its machine, from 0."""
    return int(os.environ["LOCAL_RANK"])


def by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def launcher() -> int:
    """The process that started this one: the same after torchrun has restarted its processes."""
    return os.getppid()


def restarts() -> int:
    """How often torchrun has restarted its processes because one of them ended."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
