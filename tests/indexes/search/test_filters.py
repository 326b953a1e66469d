import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes import Index, Where
from indexes.search import segments
from indexes.search import snapshot as module
from indexes.search.filters import kilometres
from indexes.store import roots
from indexes.store.records import Record, id_key

D = 16
PLAIN = Record(400, 300, "JPEG", None, 1, "", ["/photos/a.jpg"])
CAMERAS = (None, "Canon EOS 5D", "Apple iPhone 12")


def facts(**changes) -> dict:
    return vars(replace(PLAIN, **changes))


@pytest.mark.parametrize(
    ("where", "changes", "admitted"),
    [
        (Where(), {}, True),
        (Where(min_side=300), {}, True),
        (Where(min_side=301), {}, False),
        (Where(format="jpg"), {}, True),
        (Where(format="JPEG"), {"format": "MPO"}, True),
        (Where(format=".heic"), {"format": "HEIF"}, True),
        (Where(format="png"), {}, False),
        (Where(format="dng"), {"paths": ["/photos/a.DNG"]}, True),
        (Where(camera="iphone"), {"camera": "Apple iPhone 12"}, True),
        (Where(camera="iphone"), {"camera": None}, False),
        (Where(under=("/photos",)), {}, True),
        (Where(under=("/pho",)), {}, False),
        (Where(under=("/x", "/y")), {"paths": ["/a/b.jpg", "/y/b.jpg"]}, True),
        (Where(not_under=("/y",)), {"paths": ["/a/b.jpg", "/y/b.jpg"]}, True),
        (Where(not_under=("/y",)), {"paths": ["/y/a.jpg", "/y/b.jpg"]}, False),
        (Where(("/y",), ("/y/z",)), {"paths": ["/a/b.jpg", "/y/z/b.jpg"]}, False),
        (Where(("/y",), ("/y/z",)), {"paths": ["/y/z/b.jpg", "/y/b.jpg"]}, True),
        (Where(taken=("2019", "2019")), {}, False),
        (Where(taken=("2019", "2021-06")), {"taken": "2021-06-30T23:59:59+02:00"}, True),
        (Where(taken=("2019", "2021-06")), {"taken": "2021-07-01T00:00:00"}, False),
        (Where(taken=("2019-03", "")), {"taken": "2019-02-28T23:59:59"}, False),
        (Where(taken=("", "2019-03-01")), {"taken": "2019-03-01T12:00:00"}, True),
        (Where(near=(48.1, 11.6, 5)), {"latitude": 48.12, "longitude": 11.6}, True),
        (Where(near=(48.1, 11.6, 2)), {"latitude": 48.12, "longitude": 11.6}, False),
        (Where(near=(48.1, 11.6, 5)), {"latitude": 48.12}, False),
        (Where(near=(0, 179.99, 5)), {"latitude": 0.0, "longitude": -179.99}, True),
    ],
)
def test_conditions(where, changes, admitted):
    assert where.admits(facts(**changes)) is admitted


@settings(deadline=None)
@given(*[st.floats(-89.9, 89.9), st.floats(-180, 180)] * 2)
def test_distance_is_that_of_the_chord(a, b, c, d):
    def point(north, east):
        n, e = math.radians(north), math.radians(east)
        return np.array([math.cos(n) * math.cos(e), math.cos(n) * math.sin(e), math.sin(n)])

    chord = float(np.linalg.norm(point(a, b) - point(c, d)))
    expected = 2 * 6371.0 * math.asin(min(1.0, chord / 2))
    assert kilometres(a, b, c, d) == pytest.approx(expected, abs=1e-3)


@pytest.fixture(scope="module")
def collection(encoder_folder, tmp_path_factory):
    """300 photos in three segments, cameras and sizes in turn, every tenth one deleted."""
    from mocosearch.encoder import Encoder

    card = replace(Encoder.open(encoder_folder).card, dimension=D)
    folder = tmp_path_factory.mktemp("filtered") / "index"
    keys = np.random.default_rng(0).standard_normal((300, D))
    keys = (keys / np.linalg.norm(keys, axis=1, keepdims=True)).astype(np.float16)
    records = {
        id: replace(PLAIN, camera=CAMERAS[id % 3], width=100 * (id % 7 + 1), height=9000)
        for id in range(1, 301)
    }

    def fill(txn):
        roots.add(txn, ["/photos"])
        for first in (0, 100, 200):
            ids = list(range(first + 1, first + 101))
            for id in ids:
                txn.put("vectors", id_key(id), keys[id - 1].tobytes())
                txn.put("images", id_key(id), replace(records[id], paths=["1/a.jpg"]).to_bytes())
                if id % 10 == 0:
                    txn.put("deleted", id_key(id), b"")
            segments.append(txn, ids, keys[first : first + 100])

    with Index.create(folder, Encoder(card, b"graph", b"weights")) as index:
        index.store.write(fill)
        yield index, keys.astype(np.float32), records


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([None, "canon", "apple", "none such"]),
    st.integers(0, 800),
    st.integers(1, 350),
    st.integers(0, 2**16),
    st.booleans(),
)
def test_a_filtered_query_equals_brute_force_over_the_admitted_photos(
    collection, camera, min_side, k, seed, exact
):
    index, keys, records = collection
    where = Where(camera=camera, min_side=min_side)
    query = np.random.default_rng(seed).standard_normal((1, D)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "EXACT", 10**9 if exact else -1)
        matches = index.query(query, k, where)[0]
    admitted = [id for id in records if id % 10 and where.admits(vars(records[id]))]
    expected = sorted(admitted, key=lambda id: -float(query[0] @ keys[id - 1]))[:k]
    assert [m.score for m in matches] == pytest.approx(
        [float(query[0] @ keys[id - 1]) for id in expected], abs=2e-3
    )
    assert {m.id for m in matches} <= set(admitted)
    assert len(matches) == min(k, len(admitted))
