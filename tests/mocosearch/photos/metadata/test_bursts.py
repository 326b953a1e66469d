"""Photos of one burst."""

from datetime import datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mocosearch.photos.metadata.bursts import bursts


def test_a_burst_is_seconds_apart_and_of_one_camera() -> None:
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
    # Consecutive pauses are short. The others have another camera, no time or an offset.
    assert numbers[0] == numbers[2] == numbers[6]
    assert len(set(numbers.tolist())) == 6


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from("AB")), max_size=12))
def test_bursts_equal_those_of_a_plain_loop(shots: list[tuple[int, str]]) -> None:
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
