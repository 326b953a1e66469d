"""mocosearch: train an image encoder on your own photos, without labels, and search them by image.

`from mocosearch import Encoder, train`. The index and the search are the package `indexes`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mocosearch.encoder import Encoder as Encoder
    from mocosearch.training.run import train as train

__version__ = "0.1.0"
__all__ = ["Encoder", "train"]


def __getattr__(name: str) -> Any:
    # Imported on first use: torch and OpenVINO take seconds, and not every program needs both.
    if name == "Encoder":
        from mocosearch.encoder import Encoder

        return Encoder
    if name == "train":
        from mocosearch.training.run import train

        return train
    raise AttributeError(f"module 'mocosearch' has no attribute {name!r}")
