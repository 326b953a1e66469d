"""Libraries for tests, made of keys or of photos, and what they answer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from indexes import Answer, Index
from indexes.library.layout import BLOCK, Layout, ShardPlan, shard_folder, shard_name
from indexes.store.records import save_next_id
from mocosearch.encoder import Encoder


def keys_of(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    """Random unit keys, some of them near each other."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((max(1, count // 8), dimension))
    keys = centres[random.integers(0, len(centres), count)]
    keys = keys + 0.5 * random.standard_normal((count, dimension))
    return (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float32)


def library_of(
    folder: Path, encoder: Encoder, parts: Sequence[tuple[Sequence[Path], np.ndarray]]
) -> Path:
    """A library whose shards have these names of photos and keys."""
    shards = []
    for number, (paths, keys) in enumerate(parts):
        name = shard_name(number)
        with Index.create(shard_folder(folder, name), encoder) as index:
            index.store.write(lambda txn, n=number: save_next_id(txn, n * BLOCK + 1))
            if len(paths):
                index.add(list(paths), keys)
        shards.append(ShardPlan(name, (number,), 1, len(paths)))
    Layout(encoder.fingerprint, "auto", 0.98, (), (), shards, len(shards)).save(folder)
    return folder


def visible(answer: Answer) -> tuple[list[tuple[str, tuple[str, ...], bool]], list[float]]:
    """What a person sees of an answer, everything but ids; figures are separate."""
    photos = [
        (
            result.record.paths[0],
            tuple(sorted(path for _, path in result.others)),
            rank < answer.significant,
        )
        for rank, result in enumerate(answer)
    ]
    return photos, [figure for result in answer for figure in (result.score, result.one_in)]
