import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mocosearch.moco.seed import SEED

SIDE, WIDTH, DIM = 4, 6, 5


def flat() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, WIDTH), nn.Tanh())


def model_of(**given) -> SEED:
    torch.manual_seed(3)
    return SEED(flat, WIDTH, **{"dim": DIM, "K": 12, "T": 0.2, "T_teacher": 0.1, **given})


def views(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def units(n: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(noise, dim=1)


def dot(a, b) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def softmax(scores: list[float]) -> list[float]:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def plain_loss(model: SEED, q, k, ids) -> float:
    """Section 3.2 of arXiv:2101.04731, one number at a time, and 2 (1 - cosine) beside it."""
    total = 0.0
    queue, owners = model.queue.tolist(), model.queue_ids.tolist()
    for own, student, teacher in zip(ids.tolist(), q.tolist(), k.tolist(), strict=True):
        others = [key for key, owner in zip(queue, owners, strict=True) if owner not in (-1, own)]
        enlarged = [teacher, *others]
        of_teacher = softmax([dot(teacher, key) / model.T_teacher for key in enlarged])
        of_student = softmax([dot(student, key) / model.T for key in enlarged])
        total -= sum(p * math.log(s) for p, s in zip(of_teacher, of_student, strict=True))
        total += model.cosine * 2 * (1 - dot(student, teacher))
    return total / len(q)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 6),
    filled=st.integers(0, 12),
    first=st.integers(0, 8),
    cosine=st.sampled_from([0.0, 1.0]),
)
def test_loss_is_the_plain_loops(n, filled, first, cosine):
    model = model_of(cosine=cosine).double()
    model.enqueue(units(filled, 1), torch.arange(filled))
    q, k, ids = units(n, 2), units(n, 3), torch.arange(first, first + n)
    assert model.loss(q, k, ids).item() == pytest.approx(plain_loss(model, q, k, ids), abs=1e-9)


def test_loss_is_lowest_for_the_teachers_own_keys():
    model = model_of(T=0.1, T_teacher=0.1).double()
    model.enqueue(units(12, 1), torch.arange(100, 112))
    k, ids = units(4, 2), torch.arange(4)
    at_best = model.loss(k, k, ids)
    assert all(model.loss(units(4, seed), k, ids) > at_best for seed in range(3, 13))


def test_chance_loss_is_that_of_a_student_that_tells_no_key_from_another():
    model = model_of(K=3, cosine=1.0).double()
    eye = torch.eye(DIM, dtype=torch.float64)
    model.enqueue(eye[:3], torch.arange(10, 13))
    student, teacher = eye[4:5], F.normalize(eye[:1] + eye[3:4], dim=1)
    assert model.loss(student, teacher, torch.arange(1)).item() == pytest.approx(model.chance_loss)


def test_gradient_reaches_the_student_through_both_parts_of_the_loss():
    for cosine in (0.0, 1.0):
        model = model_of(cosine=cosine)
        model.enqueue(units(12, 1).float(), torch.arange(100, 112))
        model(views(4), units(4, 2).float(), torch.arange(4)).backward()
        assert all(p.grad is not None and p.grad.any() for p in model.encoder_q.parameters())


def test_queue_holds_the_latest_teacher_keys():
    model, k = model_of(K=6), units(9, 4).float()
    for start in range(0, 9, 3):
        model(views(3, start), k[start : start + 3], torch.arange(start, start + 3))
    assert torch.equal(model.queue[model.queue_ids.argsort()], k[3:])
    assert sorted(model.queue_ids.tolist()) == [3, 4, 5, 6, 7, 8]


def test_recent_keys_are_the_students():
    model = model_of()
    assert len(model.recent_keys()) == 0
    batch = views(4)
    q = model.queries(batch)
    model(batch, units(4).float(), torch.arange(4))
    assert torch.allclose(model.recent_keys(), q)
