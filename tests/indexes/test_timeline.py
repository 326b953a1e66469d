"""The order in which a collection is shown, against a plain sort."""

from itertools import groupby

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from indexes.timeline import Timeline

TIMES = st.sampled_from(
    [
        *("NaT", "1969-12-31T23:59:59", "1970-01-01T00:00:00", "2024-02-29T12:00:00"),
        *("2024-02-01T00:00:00", "2000-01-15T08:00:00", "2023-12-31T23:59:59"),
    ]
)


@given(st.lists(TIMES, max_size=40))
def test_the_order_and_the_months_are_those_of_a_plain_sort(times: list[str]) -> None:
    ids = np.arange(1, len(times) + 1, dtype=np.uint64)
    order = Timeline(ids, np.array(times, "M8[s]").astype(np.int64))
    photos = sorted(
        ((time if time != "NaT" else "", id) for id, time in enumerate(times, 1)), reverse=True
    )
    assert order.ids.tolist() == [id for _, id in photos]
    months = [(key or None, list(some)) for key, some in groupby(photos, lambda one: one[0][:7])]
    start = 0
    for name, some in months:
        assert order.span(name) == (start, start + len(some))
        start += len(some)
    assert len(order) == start
    assert order.span("1999-09") == (0, 0)
    for place, (_, id) in enumerate(photos):
        assert order.place(id) == place
    assert order.place(999) is None
