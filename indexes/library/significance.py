"""How unusual a score is among the photos of several indexes."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from indexes.library.layout import write_whole
from indexes.search import segments
from indexes.search.significance import SAMPLE, Significance, measure
from indexes.search.snapshot import Snapshot
from indexes.store.records import Ids, Keys, id_key
from mocosearch.errors import StorageFailed

CACHE = ".significance.json"
"""The figures and the photos that they were measured on, in the folder of the library."""


def load_significance(folder: Path, parts: Sequence[Snapshot]) -> Significance:
    """As measured on these photos before, or now; a pair may have its photos in two indexes.

    Stored in the folder where that can be written. Raises Damaged.
    """
    photos = _photos(parts)
    with suppress(OSError, ValueError, KeyError, TypeError):
        stored = json.loads((folder / CACHE).read_bytes())
        if stored["of"] == photos:
            return Significance(stored["scores"])
    figures = measure(_sample(parts))
    with suppress(StorageFailed):
        document = {"of": photos, "scores": figures.scores}
        write_whole(folder / CACHE, json.dumps(document).encode())
    return figures


def _photos(parts: Sequence[Snapshot]) -> str:
    """Differs where the photos differ: ids are not reused, so the next one and the count do."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(bytes(part.txn.get("meta", b"next_id") or b""))
        digest.update(part.txn.count("images").to_bytes(8, "big"))
    return digest.hexdigest()


def _sample(parts: Sequence[Snapshot]) -> Keys:
    """Keys of SAMPLE random photos, float32 (n, d), or of all where there are fewer."""
    ids = [_ids(part) for part in parts]
    counts = np.cumsum([0, *map(len, ids)])
    total = int(counts[-1])
    # Keys of deleted photos are gone: draw more.
    rows = np.random.default_rng(0).choice(total, min(total, 2 * SAMPLE), replace=False)
    keys: list[memoryview] = []
    for row in rows.tolist():
        at = int(np.searchsorted(counts, row, "right")) - 1
        key = parts[at].txn.get("vectors", id_key(int(ids[at][row - counts[at]])))
        if key is not None:
            keys.append(key)
    some = [np.frombuffer(bytes(key), np.float16) for key in keys[:SAMPLE]]
    return np.stack(some).astype(np.float32) if some else np.empty((0, 1), np.float32)


def _ids(part: Snapshot) -> Ids:
    """The ids of a part's keys, as they lie in its segments."""
    stored = [segments.part(part.txn, one, b"ids") for one in segments.numbers(part.txn)]
    views = [np.frombuffer(some, np.uint64) for some in stored]
    return views[0] if len(views) == 1 else np.concatenate([np.empty(0, np.uint64), *views])
