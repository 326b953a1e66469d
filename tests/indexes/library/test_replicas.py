import os
import signal
from pathlib import Path

import numpy as np
import pytest
from libraries import keys_of, library_of

from indexes import Where
from indexes.shards import Library

COUNT = 400
QUERIES = 1000


@pytest.fixture
def folder(encoder, tmp_path):
    keys = keys_of(COUNT, encoder.dimension)
    names = [Path(f"/photos/{number % 3}/{number:04}.jpg") for number in range(COUNT)]
    parts = [(names[at::2], keys[at::2]) for at in range(2)]
    return library_of(tmp_path / "library", encoder, parts)


def answers(library, keys):
    return [
        [(r.id, round(r.score, 5)) for r in library.answer(library.question(key), 5, fold=False)]
        for key in keys
    ]


def test_a_shard_without_an_answer_is_searched_here(folder, encoder):
    keys = keys_of(20, encoder.dimension, seed=5)
    names = []

    def remote(shard, keys, k, where):
        names.append(shard)
        return None

    with Library.open(folder) as library:
        expected = answers(library, keys)
        library.search_by(remote)
        assert answers(library, keys) == expected
        assert set(names) == {"00000", "00001"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_a_replica_that_is_killed_costs_no_answer(folder, encoder, ray):
    from indexes.library.replicas import replicas

    keys = keys_of(QUERIES, encoder.dimension, seed=5)
    with Library.open(folder) as library:
        expected = answers(library, keys)
        where = Where(under=("/photos/1",))
        below = library.query(keys[:3], 4, where)
        with replicas(folder, "local") as fleet:
            results = []

            def remote(*words):
                results.append(fleet.search(*words))
                return results[-1]

            library.search_by(remote)
            first = fleet.pid("00000")
            some = answers(library, keys[:300])
            assert all(result is not None for result in results)
            ids = [[match.id for match in row] for row in library.query(keys[:3], 4, where)]
            assert ids == [[match.id for match in row] for row in below]
            os.kill(first, signal.SIGKILL)
            some += answers(library, keys[300:])
            assert some == expected
            assert np.mean([result is not None for result in results]) > 0.4
        library.search_by(None)
