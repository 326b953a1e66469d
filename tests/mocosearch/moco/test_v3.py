"""MoCo v3 against plain loops over its equations, in float64."""

import math
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mocosearch.moco.optimizers.lars import LARS
from mocosearch.moco.v3 import MoCoV3

SIDE, WIDTH = 4, 6


def with_batch_norm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3), nn.BatchNorm2d(WIDTH), nn.Flatten(), nn.Linear(24, WIDTH)
    )


def model_of(**given) -> MoCoV3:
    torch.manual_seed(3)
    return MoCoV3(with_batch_norm, WIDTH, **{"N": 8, "dim": 5, "hidden": 7, **given})


def views(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def units(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(noise, dim=1)


def ctr(q, k, T, ids=None) -> float:
    """Algorithm 1 of arXiv:2104.02057 in scalar arithmetic, without other keys of the query's id
    as negatives.
    """
    ids = ids or range(len(q))
    total = 0.0
    for i, query in enumerate(q):
        likes = [math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / T) for key in k]
        total -= math.log(
            likes[i] / sum(like for j, like in enumerate(likes) if j == i or ids[j] != ids[i])
        )
    return 2 * T * total / len(q)


def affine(module: nn.Module, x: list[list[float]]) -> list[list[float]]:
    rows = module.weight.tolist()
    return [[sum(w * v for w, v in zip(row, given, strict=True)) for row in rows] for given in x]


def batch_norm(x: list[list[float]]) -> list[list[float]]:
    columns = []
    for column in zip(*x, strict=True):
        mean = sum(column) / len(column)
        spread = math.sqrt(sum((v - mean) ** 2 for v in column) / len(column) + 1e-5)
        columns.append([(v - mean) / spread for v in column])
    return [list(row) for row in zip(*columns, strict=True)]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=7), st.floats(0.1, 1.0), st.integers(0, 2**20)
)
def test_loss_matches_a_plain_loop_without_negatives_of_the_same_burst(bursts, T, seed):
    q, k = units(len(bursts), 5, seed), units(len(bursts), 5, seed + 1)
    actual = model_of(T=T).loss(q, k, torch.tensor(bursts)).item()
    assert actual == pytest.approx(ctr(q.tolist(), k.tolist(), T, bursts), rel=1e-9, abs=1e-12)


def test_forward_is_symmetric_with_updated_keys():
    model, a, b = model_of(m=0.5, T=0.3).double(), views(6).double(), views(6, 1).double()
    with torch.no_grad():
        for p in model.encoder_q.parameters():
            p.add_(torch.randn_like(p))
    q_a, q_b = model.queries(a).tolist(), model.queries(b).tolist()
    ids = [0, 1, 1, 2, 3, 1]
    actual = model(a, b, torch.tensor(ids)).item()
    k_a, k_b = model.keys(a).tolist(), model.keys(b).tolist()
    assert actual == pytest.approx(ctr(q_a, k_b, 0.3, ids) + ctr(q_b, k_a, 0.3, ids), rel=1e-6)
    assert model.recent_keys().tolist() == k_b


def test_momentum_update_matches_the_equation_without_the_predictor():
    model = model_of(m=0.9).double()
    with torch.no_grad():
        for p in model.encoder_q.parameters():
            p.add_(torch.randn_like(p))
    pairs = list(zip(model.encoder_k.parameters(), model.encoder_q.parameters(), strict=True))
    expected = [0.9 * k.clone() + (1 - 0.9) * q for k, q in pairs]
    model.momentum_update()
    for (k, _), w in zip(pairs, expected, strict=True):
        torch.testing.assert_close(k, w, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("vit", [False, True])
def test_mlps_match_the_paper(vit):
    """Layer by layer, with initial batch norm (weight 1, bias 0)."""
    model = model_of(vit=vit).double()
    model.train()
    x = torch.randn(5, WIDTH, dtype=torch.float64)
    projection, predictor = model.encoder_q[1], model.predictor
    layers = [m for m in projection if isinstance(m, nn.Linear)]
    assert len(layers) == (3 if vit else 2)
    assert [m.out_features for m in layers] == [7] * (len(layers) - 1) + [5]
    expected = x.tolist()
    for number, layer in enumerate(layers):
        expected = batch_norm(affine(layer, expected))
        if number < len(layers) - 1:
            expected = [[max(v, 0.0) for v in row] for row in expected]
    with torch.no_grad():
        actual = projection(x)
        torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))
        hidden = [[max(v, 0.0) for v in row] for row in batch_norm(affine(predictor[0], expected))]
        expected = affine(predictor[3], hidden)
        expected = batch_norm(expected) if vit else expected
        torch.testing.assert_close(predictor(actual), torch.tensor(expected, dtype=torch.float64))
    norms = [m for m in (*projection, *predictor) if isinstance(m, nn.BatchNorm1d)]
    assert [m.affine for m in norms] == [True] * (len(layers) - 1) + [False, True] + [False] * vit
    assert all(m.bias is None for m in (*projection, *predictor) if isinstance(m, nn.Linear))


def test_no_gradient_reaches_the_key_encoder():
    model = model_of()
    model(views(8), views(8, 1), torch.arange(8)).backward()
    assert all(p.grad is None for p in model.encoder_k.parameters())
    learning = [*model.encoder_q.parameters(), *model.predictor.parameters()]
    assert all(p.grad is not None for p in learning)
    assert learning == [p for p in model.parameters() if p.requires_grad]


def test_loss_of_random_keys_is_the_chance_loss():
    model = model_of(N=512, T=1.0)
    q, k = units(512, 128, 1), units(512, 128, 2)
    assert model.loss(q, k, torch.arange(512)).item() * 2 == pytest.approx(
        model.chance_loss, rel=0.01
    )


def test_learns_in_bf16():
    model = model_of(m=0.5, T=0.2)
    model.train()
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.05)
    losses = []
    for _ in range(30):
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(views(8), views(8), torch.arange(8))
        assert loss.dtype == torch.float32
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1


def lars(w, grads, lr, momentum, decay, trust):
    """Algorithm 1 of arXiv:1708.03888 on one weight, as a flat list."""
    velocity = [0.0] * len(w)
    for grad in grads:
        change = [g + decay * v for g, v in zip(grad, w, strict=True)]
        weight_norm, change_norm = (math.sqrt(sum(v * v for v in x)) for x in (w, change))
        scale = trust * weight_norm / change_norm if weight_norm > 0 and change_norm > 0 else 1.0
        velocity = [momentum * p + scale * c for p, c in zip(velocity, change, strict=True)]
        w = [v - lr * p for v, p in zip(w, velocity, strict=True)]
    return w


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 10), st.floats(0, 0.1), st.integers(0, 2**20), st.booleans())
def test_lars_matches_the_equation(lr, decay, seed, from_zero):
    torch.manual_seed(seed)
    start = torch.zeros(3, 2) if from_zero else torch.randn(3, 2)
    weight = nn.Parameter(start.double())
    bias = nn.Parameter(torch.randn(4, dtype=torch.float64))
    before, grads, pushes = bias.tolist(), torch.randn(3, 3, 2), torch.randn(3, 4)
    optimizer = LARS([weight, bias], lr, momentum=0.9, weight_decay=decay, trust=0.01)
    for grad, push in zip(grads, pushes, strict=True):
        weight.grad, bias.grad = grad.double(), push.double()
        optimizer.step()
    flat = [g.double().flatten().tolist() for g in grads]
    expected = lars(start.double().flatten().tolist(), flat, lr, 0.9, decay, 0.01)
    assert weight.flatten().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
    plain = nn.Parameter(torch.tensor(before, dtype=torch.float64))
    sgd = torch.optim.SGD([plain], lr, momentum=0.9)
    for push in pushes:
        plain.grad = push.double()
        sgd.step()
    torch.testing.assert_close(bias, plain)


def test_lars_resumes_from_its_state():
    weights = [nn.Parameter(torch.ones(2, 2)) for _ in range(2)]
    first, second = (LARS([w], 1.0, weight_decay=0.1) for w in weights)
    for w, optimizer in zip(weights, (first, second), strict=True):
        w.grad = torch.full((2, 2), 0.3)
        optimizer.step()
    second = LARS([weights[1]], 7.0)
    second.load_state_dict(deepcopy(first.state_dict()))
    first.step()
    second.step()
    assert torch.equal(*weights)
