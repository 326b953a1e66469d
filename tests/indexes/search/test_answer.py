import shutil

import numpy as np
import pytest
from light import DIMENSION, light

from indexes import Index, Question, Where
from indexes.search.question import unit
from mocosearch.errors import Mismatch, Unsuitable

COPIES, SIMILAR, OTHERS = 4, 6, 120


@pytest.fixture(scope="module")
def query() -> np.ndarray:
    return unit(np.random.default_rng(9).standard_normal((1, DIMENSION)).astype(np.float32))


@pytest.fixture(scope="module")
def index(query, tmp_path_factory):
    """Copies of the query, similar photos and many unrelated ones."""
    folder = tmp_path_factory.mktemp("answer")
    noise = np.random.default_rng(1).standard_normal((OTHERS + SIMILAR, DIMENSION))
    similar = query + 0.12 * noise[:SIMILAR]
    keys = [query + 0.01 * noise[:COPIES], similar, noise[SIMILAR:]]
    names = [folder / f"{number}.jpg" for number in range(COPIES + SIMILAR + OTHERS)]
    with Index.create(folder / "index", light(1)) as opened:
        opened.add(names, np.concatenate(keys).astype(np.float32))
        yield opened


def scores(results) -> list[float]:
    return [result.score for result in results]


def test_an_answer_is_a_sequence_of_results(index, query):
    answer = index.search(query, 5)
    assert len(answer) == 5
    assert answer[0] == next(iter(answer)) == answer[:1][0]
    assert list(answer) == [answer[at] for at in range(5)]
    assert answer[0].record.paths
    assert answer[0].one_in > answer[4].one_in >= 1


def test_what_may_be_chance_comes_last(index):
    rest = 0
    for seed in range(20):
        key = np.random.default_rng(seed).standard_normal(DIMENSION)
        answer = index.search(key, 12)
        better, worse = scores(answer)[: answer.significant], scores(answer)[answer.significant :]
        assert len(answer) == 12
        assert min(better, default=2.0) > max(worse, default=-2.0)
        only = index.search(key, 12, significant_only=True)
        assert scores(only) == better
        assert only.significant == answer.significant
        rest += bool(worse)
    assert rest


@pytest.mark.usefixtures("equal_detail")
def test_copies_are_folded_and_the_places_filled(index, query):
    folded = index.search(query, 10)
    assert len(folded) == 10
    assert [result.copies for result in folded][:2] == [COPIES - 1, 0]
    assert folded[0].score == max(scores(folded))
    assert {result.copies for result in folded[1:]} == {0}
    files = index.search(query, 10, fold=False)
    assert len(files) == 10
    assert {result.copies for result in files} == {0}
    everything = index.search(query, 1000)
    assert len(everything) == len(index) - COPIES + 1
    assert len(index.search(query, 1000, fold=False)) == len(index)


def test_a_lowest_score_still_fills_the_places(index, query):
    everything = sorted(scores(index.search(query, 1000)), reverse=True)
    lowest = everything[4]
    assert scores(index.search(query, 1000, min_score=lowest)) == pytest.approx(everything[:5])
    assert len(index.search(query, 3, min_score=lowest)) == 3
    assert len(index.search(query, 3, min_score=1.1)) == 0


def test_search_is_a_question_and_its_answer(index, query):
    options = {"where": Where(min_side=0), "min_score": 0.1, "fold": False}
    question = index.question(query, minus=-query)
    assert index.search(query, 7, minus=-query, **options) == index.answer(question, 7, **options)


def test_every_file_of_one_content_is_a_result(encoder, fill, tmp_path):
    (file,) = fill(tmp_path / "photos" / "a", [0])
    (tmp_path / "photos" / "b").mkdir()
    copy = shutil.copy(file, tmp_path / "photos" / "b")
    with Index.create(tmp_path / "index", encoder) as index:
        index.sync(tmp_path / "photos")
        (folded,) = index.search(file)
        assert folded.copies == 1
        files = index.search(file, fold=False)
        assert [result.record.paths for result in files] == [[str(file)], [copy]]
        (only,) = index.search(file, where=Where(under=(str(tmp_path / "photos" / "b"),)))
        assert (only.record.paths, only.copies) == ([copy], 0)
        assert len(index.search(file, 1, fold=False)) == 1


def test_options_that_cannot_be_met(index, query):
    for k in (0, -1):
        with pytest.raises(Unsuitable, match="cannot search for"):
            index.search(query, k)
    with pytest.raises(Mismatch, match=f"dimension {DIMENSION}"):
        index.answer(Question(query[:, 1:]))


def test_an_empty_index_has_an_empty_answer(tmp_path, query):
    with Index.create(tmp_path / "index", light(1)) as index:
        answer = index.search(query)
    assert (list(answer), answer.significant, answer.skipped) == ([], 0, {})
