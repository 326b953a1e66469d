import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.training.recipes import SMALL, V1, V2
from mocosearch.training.schedule import Budget, learning_rate, momentum

WARM = replace(SMALL, lr=0.4, warmup=0.1, cosine=True)


def test_warm_up_is_linear():
    assert learning_rate(WARM, 0) == 0
    assert learning_rate(WARM, 0.05) == pytest.approx(0.2)
    assert learning_rate(WARM, 0.1) == pytest.approx(0.4)


def test_cosine_ends_at_zero():
    assert learning_rate(WARM, 1) == pytest.approx(0, abs=1e-12)
    assert learning_rate(WARM, 0.55) == pytest.approx(0.2)
    assert learning_rate(V2, 0) == V2.lr


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 1))
def test_cosine_is_half_a_period(progress):
    angle = math.pi * (progress - 0.1) / 0.9
    assert learning_rate(WARM, progress) == pytest.approx(0.4 * 0.5 * (1 + math.cos(angle)))


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 1), st.floats(0.1, 1))
def test_cosine_is_monotone(a, b):
    a, b = sorted((a, b))
    assert learning_rate(WARM, a) >= learning_rate(WARM, b) - 1e-12


@pytest.mark.parametrize(
    ("progress", "share"),
    [(0, 1), (0.599, 1), (0.6, 0.1), (0.799, 0.1), (0.8, 0.01), (1, 0.01)],
)
def test_v1_decays_in_two_steps(progress, share):
    assert learning_rate(V1, progress) == pytest.approx(0.03 * share)


def test_momentum_goes_from_m_to_m_end():
    assert momentum(SMALL, 0) == pytest.approx(SMALL.m)
    assert momentum(SMALL, 1) == pytest.approx(SMALL.m_end)
    assert momentum(SMALL, 0.5) == pytest.approx((SMALL.m + SMALL.m_end) / 2)


@pytest.mark.parametrize("progress", [0, 0.3, 1])
def test_momentum_of_v1_and_v2_is_constant(progress):
    assert momentum(V1, progress) == pytest.approx(0.999)
    assert momentum(V2, progress) == pytest.approx(0.999)


def test_budget_of_steps():
    budget = Budget(steps=4, seconds=None, start=0)
    assert [budget.progress(s) for s in (0, 1, 4, 9)] == [0, 0.25, 1, 1]


def test_budget_of_zero_steps_is_complete():
    assert Budget(steps=0, seconds=None, start=0).progress(1) == 1


def test_budget_of_seconds():
    now = time.monotonic()
    assert Budget(None, 100, now - 50).progress(0) == pytest.approx(0.5, abs=0.05)
    assert Budget(None, 100, now - 200).progress(0) == 1
    assert Budget(None, 0, now - 1).progress(0) == 1


def test_seconds_take_precedence_over_steps():
    assert Budget(10, 1e9, time.monotonic()).progress(10) < 0.01
