"""The store and the search: keys and FAISS indexes in one LMDB environment.

`from indexes import Index`. Nothing here imports torch.
"""

from indexes.index import Index
from indexes.opening import open_reader
from indexes.reader import Reader
from indexes.search.answer import Answer, Result
from indexes.search.filters import Where
from indexes.search.nearest import Match
from indexes.search.question import Question, Weighted
from indexes.sync.counts import Counts
from mocosearch.photos.squares import Crop

__all__ = [
    "Answer",
    "Counts",
    "Crop",
    "Index",
    "Match",
    "Question",
    "Reader",
    "Result",
    "Weighted",
    "Where",
    "open_reader",
]
