"""An index: an encoder, the photos' keys, and the nearest of them to a question."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np

from indexes import chance, segments
from indexes.chance import Chance
from indexes.filters import Where
from indexes.records import PathEntry, Record, Refusal, id_key, id_of, path_key
from indexes.segments import Ids, Keys
from indexes.store import Store, Txn
from mocosearch.encoder import Card, Encoder
from mocosearch.errors import Damaged, Mismatch
from mocosearch.home import missing, place

EXACT = 5000
"""So few photos are compared one by one with the stored keys, whatever kind the index is."""


@dataclass(frozen=True)
class Match:
    """One result: `score` is the cosine of query and key, -1..1."""

    id: int
    score: float
    record: Record


class Index:
    """A folder with everything in it that a question needs, the encoder included.

    Reads one snapshot; `refresh` moves on to what has been committed since. Use as a context
    manager, or call `close`. Open an index once in a process.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._txn: Txn | None = None
        self._segments: list[segments.Segment] = []
        self._encoder: Encoder | None = None

    @classmethod
    def open(cls, name: str | os.PathLike[str]) -> Self:
        """For asking. Raises NotFound, Damaged, StorageFailed."""
        folder = _folder(name)
        if not (folder / "data.mdb").is_file():
            raise missing("indexes", folder)
        return cls(Store(folder, writable=False))

    @classmethod
    def create(cls, name: str | os.PathLike[str], encoder: Encoder | None) -> Self:
        """For changing; made where there is none, and then it keeps the encoder's graph.

        Raises Mismatch where the index was made with another encoder, Damaged, StorageFailed.
        """
        index = cls(Store(_folder(name), writable=True))
        try:
            index.store.write(lambda txn: _keep(txn, encoder))
        except BaseException:
            index.close()
            raise
        return index

    @staticmethod
    def exists(name: str | os.PathLike[str]) -> bool:
        """Whether there is an index of this name or at this path."""
        return (_folder(name) / "data.mdb").is_file()

    @property
    def txn(self) -> Txn:
        """The snapshot that is read."""
        if self._txn is None:
            self._txn = self.store.begin_read()
        return self._txn

    def refresh(self) -> None:
        """Read what is committed now; results of earlier queries stay good."""
        self._segments = []
        if self._txn is not None:
            self._txn.raw.abort()
            self._txn = None

    @property
    def encoder(self) -> Encoder:
        """The encoder that made the keys, from the index itself."""
        if self._encoder is None:
            parts = [self.txn.get("encoder", name) for name in (b"card", b"graph", b"weights")]
            if any(part is None for part in parts):
                raise Damaged("the index holds no encoder", "remove it and index again")
            card, graph, weights = (bytes(part) for part in parts if part is not None)
            self._encoder = Encoder(Card.from_json(card), graph, weights)
        return self._encoder

    def prepare(self) -> None:
        """Open the FAISS indexes now, which `query` otherwise does first."""
        if not self._segments:
            self._segments = segments.all_segments(self.txn)

    def query(self, keys: Keys, k: int = 10, where: Where | None = None) -> list[list[Match]]:
        """The k nearest photos to each of n keys, float32 (n, d) of unit length, best first.

        where: asked among the photos that it admits; they are chosen before the search.
        Fewer than k where there are fewer. Raises Mismatch for keys of another length.
        """
        keys = np.ascontiguousarray(keys, np.float32)
        dimension = self.encoder.dimension
        if keys.ndim != 2 or keys.shape[1] != dimension:
            raise Mismatch(f"keys of shape {keys.shape} asked of an index of dimension {dimension}")
        self.prepare()
        deleted = self._deleted()
        only = self.among(where) if where else None
        if only is not None and len(only) <= EXACT:
            found = [self._exact(keys, only)] if len(only) else []
        else:
            found = [segment.search(keys, k, deleted, only) for segment in self._segments]
        if not found:
            return [[] for _ in keys]
        scores = np.concatenate([s for s, _ in found], 1)
        ids = np.concatenate([i for _, i in found], 1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return [
            [
                Match(int(ids[row, at]), float(scores[row, at]), self.record(ids[row, at]))
                for at in best
            ]
            for row, best in enumerate(order)
        ]

    def among(self, where: Where) -> Ids:
        """The ids of the photos that meet some conditions, ascending."""
        gone = {bytes(key) for key, _ in self.txn.items("deleted")}
        ids = [
            id_of(key)
            for key, value in self.txn.items("images")
            if where.admits(json.loads(bytes(value))) and bytes(key) not in gone
        ]
        return np.array(ids, np.uint64)

    def keys(self, ids: Sequence[int] | Ids) -> Keys:
        """The stored keys of some photos, as float32 (n, d). Raises Damaged for an unknown id."""
        rows = [self.txn.get("vectors", id_key(int(id))) for id in ids]
        if any(row is None for row in rows):
            raise Damaged("the index holds a photo without a key", "remove it and index again")
        stored = b"".join(bytes(row) for row in rows if row is not None)
        found: Keys = np.frombuffer(stored, np.float16).reshape(len(rows), -1).astype(np.float32)
        return found

    def _exact(self, keys: Keys, ids: Ids) -> tuple[Keys, Ids]:
        return keys @ self.keys(ids).T, np.broadcast_to(ids, (len(keys), len(ids)))

    def record(self, id: int) -> Record:
        """What is known of a photo. Raises Damaged where the id is not there."""
        stored = self.txn.get("images", id_key(int(id)))
        if stored is None:
            raise Damaged(f"the index holds no record of id {id}", "remove it and index again")
        return Record.from_bytes(stored)

    def facts(self, path: str) -> dict[str, Any] | None:
        """What is known of one absolute path, as plain values: the record of its photo and
        `modified` (ISO 8601, UTC), or `refused`, the reason why it has no key. None where the
        path was never met.
        """
        stored, refusal = (self.txn.get(name, path_key(path)) for name in ("paths", "refused"))
        if stored is not None:
            entry = PathEntry.from_bytes(stored)
            modified = datetime.fromtimestamp(entry.mtime / 1e9, UTC).isoformat()
            return {"id": entry.id, "modified": modified} | asdict(self.record(entry.id))
        if refusal is not None:
            return {"refused": Refusal.from_bytes(refusal).reason or "not a picture"}
        return None

    @property
    def chance(self) -> Chance:
        """How unusual a score is in this collection."""
        return chance.kept(self.txn)

    @property
    def count(self) -> int:
        """Photos with a key, by their paths."""
        return self.txn.count("paths")

    def refusals(self) -> list[Refusal]:
        """Every file that was met and has no key, what is no picture included."""
        return [Refusal.from_bytes(value) for _, value in self.txn.items("refused")]

    def info(self) -> dict[str, Any]:
        """What the index holds, as plain values."""
        refusals = self.refusals()
        roots = self.txn.get("meta", b"roots")
        data = self.store.folder / "data.mdb"
        return {
            "path": os.fspath(self.store.folder),
            "images": self.count,
            "keys": self.txn.count("images"),
            "refused": sum(r.reason is not None for r in refusals),
            "not_pictures": sum(r.reason is None for r in refusals),
            "roots": json.loads(bytes(roots)) if roots else [],
            "dimension": self.encoder.dimension,
            "encoder": self.encoder.fingerprint,
            "architecture": self.encoder.card.architecture,
            "kind": "SQfp16",
            "segments": self.txn.count("segments") // 2,
            "bytes": data.stat().st_size,
        }

    def close(self) -> None:
        """Ends the snapshot and the environment."""
        self.refresh()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _deleted(self) -> Ids:
        return np.array([id_of(key) for key, _ in self.txn.items("deleted")], np.uint64)


def _folder(name: str | os.PathLike[str]) -> Path:
    return Path(name) if isinstance(name, Path) else place("indexes", os.fspath(name))


def _keep(txn: Txn, encoder: Encoder | None) -> None:
    kept = txn.get("encoder", b"card")
    if encoder is None:
        return
    if kept is None:
        txn.put("encoder", b"card", encoder.card.to_json().encode())
        txn.put("encoder", b"graph", encoder.graph)
        txn.put("encoder", b"weights", encoder.weights)
    elif Card.from_json(bytes(kept)).fingerprint != encoder.fingerprint:
        raise Mismatch(
            "this index was made with another encoder",
            "name another --index, or leave --encoder out to go on with the index's own",
        )
