"""The store and the search: keys and FAISS indexes in one LMDB environment.

`from indexes import Index`. Nothing here imports torch.
"""

from indexes.index import Index
from indexes.search.filters import Where
from indexes.search.nearest import Match
from indexes.sync.counts import Counts

__all__ = ["Counts", "Index", "Match", "Where"]
