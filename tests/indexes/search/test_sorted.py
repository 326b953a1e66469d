"""Another order of the same results."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes import Answer, Result
from indexes.store.records import Record
from mocosearch.errors import Unsuitable

TIMES = st.one_of(
    st.none(), st.datetimes(), st.sampled_from(["2020-01-01T10:00:00", "2020-01-01T10:00:00+02:00"])
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    rows = draw(st.lists(st.tuples(TIMES, st.sampled_from([0.1, 0.5, 0.9]), st.text(max_size=3))))
    results = []
    for id, (taken, score, path) in enumerate(rows, 1):
        text = None if taken is None else str(taken).replace(" ", "T")
        record = Record(4, 3, "JPEG", text, 100, "00", [path])
        results.append(Result(id, score, record, (), 1.0, False))
    return Answer(tuple(results), len(results) // 2, {})


@given(answers(), st.sampled_from([None, "taken", "score", "path"]), st.booleans())
def test_sorting_changes_the_order_alone(answer: Answer, by: str | None, reverse: bool) -> None:
    sorted_answer = answer.sorted(by, reverse=reverse)
    assert sorted(sorted_answer, key=id_of) == sorted(answer, key=id_of)
    assert (sorted_answer.significant, sorted_answer.skipped) == (answer.significant, {})


@given(answers(), st.booleans())
def test_the_order_is_that_of_a_plain_comparison(answer: Answer, reverse: bool) -> None:
    sign = -1 if reverse else 1
    scores = [result.score for result in answer.sorted("score", reverse=reverse)][::sign]
    assert scores == sorted(scores, reverse=True)
    paths = [result.record.paths[0] for result in answer.sorted("path", reverse=reverse)][::sign]
    assert paths == sorted(paths)
    times = [result.record.taken for result in answer.sorted("taken", reverse=reverse)]
    dated = [time[:19] for time in times if time]
    assert not any(times[len(dated) :])
    assert dated == sorted(dated, reverse=reverse)


@given(answers())
def test_equal_results_keep_their_order(answer: Answer) -> None:
    for reverse in (False, True):
        for score in (0.1, 0.5, 0.9):
            results = answer.sorted("score", reverse=reverse)
            ids = [result.id for result in results if result.score == score]
            assert ids == sorted(ids)


def test_an_unknown_order_is_an_error() -> None:
    with pytest.raises(Unsuitable, match="colour"):
        Answer((), 0, {}).sorted("colour")


def id_of(result: Result) -> int:
    return result.id
