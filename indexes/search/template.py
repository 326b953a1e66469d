"""A trained FAISS index without keys: other indexes of keys like those of its need no training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from indexes.search.segments import NONSENSE, load_faiss


@dataclass(frozen=True)
class Template:
    """kind: FAISS's factory string. settings: as of `About`. empty: the index, as bytes."""

    kind: str
    settings: str
    empty: bytes

    @classmethod
    def of(cls, kind: str, settings: str, blob: memoryview) -> "Template":
        """From an index that was trained and tuned, as bytes; its keys are left out."""
        faiss = load_faiss()
        index = faiss.deserialize_index(np.frombuffer(blob, np.uint8))
        index.reset()
        return cls(kind, settings, bytes(memoryview(faiss.serialize_index(index))))

    def index(self, kind: str, dimension: int) -> Any:
        """The trained index without keys; None where it is of another kind or cannot be read."""
        try:
            index = load_faiss().deserialize_index(np.frombuffer(self.empty, np.uint8))
        except NONSENSE:
            return None
        return index if kind == self.kind and index.d == dimension else None

    def facts(self) -> Mapping[str, str]:
        """What is stored beside `empty`."""
        return {"kind": self.kind, "settings": self.settings}
