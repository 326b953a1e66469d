"""The linear model of a look against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.looks.model import COLLECTION, SURE, Background, fit


def unit(keys):
    return keys / np.linalg.norm(keys, axis=-1, keepdims=True)


def some_keys(seed, *counts, dimension=12):
    rng = np.random.default_rng(seed)
    return [unit(rng.standard_normal((count, dimension))) for count in counts]


def ridge(keys, targets, sample):
    """The direction that minimises the squared errors, by numpy's least squares on all rows."""
    behind = sample * np.sqrt(COLLECTION / len(sample))
    rows = np.concatenate([keys, behind, np.eye(keys.shape[1])])
    wanted = np.concatenate([targets, np.zeros(len(rows) - len(targets))])
    return np.linalg.lstsq(rows, wanted, rcond=None)[0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(0, 6))
def test_the_direction_is_that_of_least_squares(seed, wanted, unwanted):
    one, other, sample = some_keys(seed, wanted, unwanted, 50)
    model = fit(one, other, Background(sample))
    targets = np.concatenate([np.ones(wanted), np.zeros(unwanted)])
    expected = ridge(np.concatenate([one, other]), targets, sample)
    assert model.direction == pytest.approx(expected, abs=1e-9)


def test_the_odds_come_from_models_that_do_not_know_the_example():
    wanted, unwanted, sample = some_keys(4, 6, 5, 60)
    model = fit(wanted, unwanted, Background(sample))
    keys, targets = np.concatenate([wanted, unwanted]), np.array([1.0] * 6 + [0.0] * 5)
    held_out = []
    for row in range(11):
        others = np.arange(11) != row
        held_out.append(keys[row] @ ridge(keys[others], targets[others], sample))
    high, low = np.mean(held_out[:6]), np.mean(held_out[6:])
    middle = (high + low) / 2
    assert model.slope * middle + model.offset == pytest.approx(np.log(7 / 6), abs=1e-6)


def test_answers_part_two_kinds_that_one_picture_has_in_common():
    """Two groups near the wanted example: only answers tell which of them is meant."""
    rng = np.random.default_rng(0)
    centre, apart = some_keys(1, 1, 1, dimension=32)

    def group(side, count):
        return unit(centre + side * 0.6 * apart + 0.1 * rng.standard_normal((count, 32)))

    sample = np.concatenate([some_keys(2, 400, dimension=32)[0], group(1, 20), group(-1, 20)])
    model = fit(group(1, 5), group(-1, 5), Background(sample))
    right, wrong = (model.scores(group(side, 50)) for side in (1, -1))
    assert right.min() > wrong.max()
    assert (model.probabilities(right) >= SURE).mean() > 0.9
    assert (model.probabilities(wrong) < SURE).all()
