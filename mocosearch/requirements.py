"""Packages that an installation may lack: PyTorch, where it is for searching only, and extras."""

from importlib.util import find_spec

from mocosearch.errors import MissingPackage


def has_torch() -> bool:
    """Whether torch and torchvision are installed; neither is imported."""
    return is_installed("torch", "torchvision")


def is_installed(*packages: str) -> bool:
    """Whether all these packages are installed; none is imported."""
    try:
        return all(find_spec(name) is not None for name in packages)
    # Raised for a module that a host program has blocked.
    except (ImportError, ValueError):
        return False


def require_torch() -> None:
    """Raises MissingPackage unless torch and torchvision are installed."""
    if not has_torch():
        raise MissingPackage(
            "this needs PyTorch, which is not installed",
            "pip install torch torchvision, or install mocosearch without search-only.txt",
        )
