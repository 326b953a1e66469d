"""Which photos belong to one burst."""

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mocosearch.photos.bursts import bursts


def test_seconds_apart_by_one_camera() -> None:
    taken = [
        "2020-08-03T10:00:00",
        "2020-08-03T10:00:09",
        "2020-08-03T10:00:02",
        "2020-08-03T10:00:01",
        None,
        None,
        "2020-08-03T10:00:05",
        "2020-08-03T10:00:01+00:00",
    ]
    cameras = ["A", "A", "A", "B", "A", None, "A", "A"]
    numbers = bursts(taken, cameras)
    # A chain of short pauses is one burst; another camera, no time, another clock are not.
    assert numbers[0] == numbers[2] == numbers[6]
    assert len(set(numbers.tolist())) == 6


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("AB")), max_size=12))
def test_like_a_plain_search_for_chains(shots: list[tuple[int, str]]) -> None:
    start = datetime(2020, 1, 1)
    taken = [(start + timedelta(seconds=s)).isoformat() for s, _ in shots]
    numbers = bursts(taken, [camera for _, camera in shots])
    groups = list(range(len(shots)))
    for _ in shots:
        for i, (s, c) in enumerate(shots):
            for j, (t, d) in enumerate(shots):
                if c == d and abs(s - t) <= 3:
                    groups[i] = groups[j] = min(groups[i], groups[j])
    same = np.equal.outer(numbers, numbers)
    assert (same == np.equal.outer(np.array(groups), np.array(groups))).all()
