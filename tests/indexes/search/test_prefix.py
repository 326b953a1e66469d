"""The results for any k are the first of those for a larger k."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from light import DIMENSION, light

from indexes import Index, Question
from indexes.search.question import unit

PHOTOS, CENTRES = 900, 12


def keys(seed: int, count: int) -> np.ndarray:
    """Clusters of very different sizes, with near copies and equal keys among them."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CENTRES, DIMENSION))
    cluster = np.minimum(rng.geometric(0.25, count) - 1, CENTRES - 1)
    spread = rng.choice([0.0, 0.03, 0.3, 1.0], (count, 1), p=[0.05, 0.2, 0.35, 0.4])
    return unit((centres[cluster] + spread * rng.standard_normal((count, DIMENSION))) * 1.0)


@pytest.fixture(scope="module", params=[(60, "auto"), (PHOTOS, "auto"), (PHOTOS, "IVF16,PQ6x4")])
def index(request, tmp_path_factory):
    """Too few photos to measure chance, an exact index and an approximate one."""
    count, kind = request.param
    folder = tmp_path_factory.mktemp("prefix")
    with Index.create(folder / "index", light(1)) as opened:
        opened.configure(kind, 0.5)
        opened.add([folder / f"{n}.jpg" for n in range(count)], keys(1, count).astype(np.float32))
        opened.merge(everything=True)
        assert kind in ("auto", opened.info()["kind"])
        yield opened


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_results_for_any_k_begin_those_for_a_larger_one(index, data):
    seed = data.draw(st.integers(0, 5))
    orientations = data.draw(st.sampled_from([1, 3]))
    own = keys(1, len(index))[seed * 7 : seed * 7 + orientations]
    chance = np.random.default_rng(seed).standard_normal((orientations, DIMENSION))
    blend = data.draw(st.sampled_from([0.0, 0.4, 1.0]))
    question = Question(unit(own + blend * chance).astype(np.float32))
    options = {
        "fold": data.draw(st.booleans()),
        "min_score": data.draw(st.sampled_from([None, 0.0, 0.8])),
        "significant_only": data.draw(st.booleans()),
    }
    small = data.draw(st.integers(1, 130))
    large = small + data.draw(st.sampled_from([1, 15, 90, 600]))
    few, many = index.answer(question, small, **options), index.answer(question, large, **options)
    assert list(few) == list(many)[:small]
    assert few.significant == min(many.significant, small)
    assert len({result.record.paths[0] for result in many}) == len(many)
    if options == {"fold": False, "min_score": None, "significant_only": False}:
        assert len(many) == min(large, len(index))
