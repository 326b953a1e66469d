"""mocosearch: learn what photos look like from the collection itself, and find by image.

`from mocosearch import Encoder, train`; the store and the search are the package `indexes`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mocosearch.encoder import Encoder as Encoder
    from mocosearch.training.run import train as train

__version__ = "0.1.0"
__all__ = ["Encoder", "train"]


def __getattr__(name: str) -> Any:
    # Looked up late, so that neither torch nor OpenVINO is imported by who needs neither.
    if name == "Encoder":
        from mocosearch.encoder import Encoder

        return Encoder
    if name == "train":
        from mocosearch.training.run import train

        return train
    raise AttributeError(f"module 'mocosearch' has no attribute {name!r}")
