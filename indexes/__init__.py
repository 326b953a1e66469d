"""Remember and find: keys and FAISS indexes in one LMDB environment.

`from indexes import Index`. Nothing here imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from indexes.index import Index
from indexes.search.filters import Where
from indexes.search.nearest import Match
from indexes.sync.counts import Counts

if TYPE_CHECKING:
    from indexes.sync.add import add
    from indexes.sync.sync import remove, sync

__all__ = ["Counts", "Index", "Match", "Where", "add", "remove", "sync"]


def __getattr__(name: str) -> Any:
    """What changes an index is imported when it is first asked for: a query does without."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(
        import_module("indexes.sync.add" if name == "add" else "indexes.sync.sync"), name
    )
