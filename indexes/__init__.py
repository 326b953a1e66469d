"""Remember and find: keys and FAISS indexes in one LMDB environment.

`from indexes import Index`. Nothing here imports torch.
"""

from indexes.filters import Where
from indexes.index import Index, Match
from indexes.sync import Counts, add, remove, sync

__all__ = ["Counts", "Index", "Match", "Where", "add", "remove", "sync"]
