import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mocosearch.moco.moco import MoCo

SIDE = 4
WIDTH = 6


def flat() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, WIDTH), nn.Tanh())


def with_batch_norm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3), nn.BatchNorm2d(WIDTH), nn.Flatten(), nn.Linear(24, WIDTH)
    )


def model_of(backbone=flat, **given) -> MoCo:
    torch.manual_seed(3)
    return MoCo(backbone, WIDTH, **{"dim": 5, "K": 16, "splits": 2, **given})


def views(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def units(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return F.normalize(noise, dim=1)


def info_nce(q, k, queue, ids, queue_ids, T) -> float:
    """Equation 1 of arXiv:1911.05722, in scalar arithmetic."""
    total = 0.0
    for i in range(len(q)):
        positive = math.exp(sum(a * b for a, b in zip(q[i], k[i], strict=True)) / T)
        below = positive
        for key, owner in zip(queue, queue_ids, strict=True):
            if owner != ids[i]:
                below += math.exp(sum(a * b for a, b in zip(q[i], key, strict=True)) / T)
        total -= math.log(positive / below)
    return total / len(q)


def expected_loss(model: MoCo, q, k, ids) -> float:
    lists = [x.tolist() for x in (q, k, model.queue, ids, model.queue_ids)]
    return info_nce(*lists, model.T)


def test_key_encoder_starts_equal_to_the_query_encoder():
    model = model_of()
    for q, k in zip(model.encoder_q.parameters(), model.encoder_k.parameters(), strict=True):
        assert torch.equal(q, k)
        assert not k.requires_grad


@pytest.mark.parametrize("symmetric", [False, True])
def test_no_gradient_reaches_the_key_encoder(symmetric):
    model = model_of(symmetric=symmetric)
    model(views(8), views(8, 1), torch.arange(8)).backward()
    assert all(p.grad is None for p in model.encoder_k.parameters())
    assert all(p.grad is not None and p.grad.any() for p in model.encoder_q.parameters())


def test_momentum_update_matches_the_equation():
    model = model_of(m=0.9).double()
    with torch.no_grad():
        for p in model.encoder_q.parameters():
            p.add_(torch.randn_like(p))
    q = [p.tolist() for p in map(torch.flatten, model.encoder_q.parameters())]
    k = [p.tolist() for p in map(torch.flatten, model.encoder_k.parameters())]
    for _ in range(3):
        k = [
            [0.9 * old + (1 - 0.9) * new for old, new in zip(a, b, strict=True)]
            for a, b in zip(k, q, strict=True)
        ]
        model.momentum_update()
    for actual, expected in zip(model.encoder_k.parameters(), k, strict=True):
        expected = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(actual.flatten(), expected, rtol=1e-12, atol=1e-14)
    for actual, expected in zip(model.encoder_q.parameters(), q, strict=True):
        assert actual.flatten().tolist() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(1, 25), min_size=1, max_size=6))
def test_queue_is_first_in_first_out(K, batches):
    model = model_of(K=K)
    reference: list[tuple[int, list[float]]] = [(-1, key) for key in model.queue.tolist()]
    sent = 0
    for n in batches:
        keys = units(n, 5, seed=sent).float()
        ids = torch.arange(sent, sent + n)
        model.enqueue(keys, ids)
        reference = (reference + list(zip(ids.tolist(), keys.tolist(), strict=True)))[-K:]
        sent += n
        at = int(model.queue_ptr)
        assert at == sent % K
        oldest_first = [(at + i) % K for i in range(K)]
        assert model.queue_ids[oldest_first].tolist() == [id for id, _ in reference]
        assert model.queue[oldest_first].tolist() == [key for _, key in reference]


def test_batch_crosses_the_end_of_the_queue():
    model = model_of(K=5)
    for first in (0, 3):
        model.enqueue(units(3, 5, first).float(), torch.arange(first, first + 3))
    assert model.queue_ids.tolist() == [5, 1, 2, 3, 4]
    assert int(model.queue_ptr) == 1


def test_loss_by_hand():
    model = MoCo(flat, WIDTH, dim=2, K=2, T=0.5)
    model.queue.copy_(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
    q = k = torch.tensor([[1.0, 0.0]])
    expected = -math.log(math.exp(2) / (math.exp(2) + math.exp(0) + math.exp(-2)))
    assert model.loss(q, k, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.floats(0.05, 1.0), st.integers(0, 2**20))
def test_loss_matches_a_plain_loop(n, K, T, seed):
    model = model_of(K=K, T=T).double()
    model.queue.copy_(units(K, 5, seed + 1))
    model.queue_ids.copy_(torch.arange(K) - 1)
    q, k, ids = units(n, 5, seed + 2), units(n, 5, seed + 3), torch.arange(n)
    actual = model.loss(q, k, ids).item()
    assert actual == pytest.approx(expected_loss(model, q, k, ids), rel=1e-9)


def test_loss_of_random_keys_is_the_chance_loss():
    K, dim, n = 512, 128, 64
    model = MoCo(flat, WIDTH, dim=dim, K=K, T=1.0)
    q, k = units(n, dim, 1).float(), units(n, dim, 2).float()
    assert model.loss(q, k, torch.arange(n)).item() == pytest.approx(math.log(K + 1), abs=0.05)


def test_keys_of_the_same_photo_are_not_negatives():
    model = model_of(K=4, T=0.1)
    q = units(2, 5).float()
    model.enqueue(torch.cat([q, q]), torch.tensor([7, 8, 7, 8]))
    foreign = model.loss(q, q, torch.tensor([1, 2])).item()
    own = model.loss(q, q, torch.tensor([7, 8])).item()
    assert own == pytest.approx(expected_loss(model, q, q, torch.tensor([7, 8])), abs=1e-6)
    assert own < foreign - 0.5


def test_loss_is_zero_if_all_negatives_are_masked():
    model = model_of(K=2)
    q = units(1, 5).float()
    model.enqueue(q.repeat(2, 1), torch.tensor([3, 3]))
    assert model.loss(q, q, torch.tensor([3])).item() == pytest.approx(0, abs=1e-6)


def test_symmetric_loss_is_the_mean_of_both_directions():
    a, b, ids = views(6), views(6, 1), torch.arange(6)
    both = model_of(symmetric=True)(a, b, ids)
    halves = [model_of()(a, b, ids), model_of()(b, a, ids)]
    assert both.item() == pytest.approx(sum(h.item() for h in halves) / 2, rel=1e-5)


def test_forward_computes_the_loss_before_enqueueing():
    model, a, b, ids = model_of(), views(6), views(6, 1), torch.arange(6)
    q, k = model.queries(a), model.keys(b)
    expected = expected_loss(model, q, k, ids)
    assert model(a, b, ids).item() == pytest.approx(expected, rel=1e-5)
    assert model.queue_ids.tolist() == [0, 1, 2, 3, 4, 5] + [-1] * 10
    torch.testing.assert_close(model.queue[:6], k)


def test_symmetric_enqueues_both_views():
    model, a, b = model_of(symmetric=True), views(4), views(4, 1)
    k_a, k_b = model.keys(a), model.keys(b)
    model(a, b, torch.arange(4))
    assert int(model.queue_ptr) == 8
    torch.testing.assert_close(model.queue[:8], torch.cat([k_a, k_b]))


@pytest.mark.parametrize("n", [1, 2, 5, 8, 17])
@pytest.mark.parametrize("splits", [1, 3, 8])
def test_keys_are_in_the_order_of_their_photos(n, splits):
    model = model_of(splits=splits)
    expected = F.normalize(model.encoder_k(views(n)), dim=1)
    for _ in range(3):
        torch.testing.assert_close(model.keys(views(n)), expected)
    torch.testing.assert_close(
        model.queries(views(n)), F.normalize(model.encoder_q(views(n)), dim=1)
    )


def test_sub_batches_have_separate_batch_statistics():
    model = model_of(with_batch_norm, splits=2)
    model.train()
    a = views(8)
    with torch.no_grad():
        together = model.queries(a)
        changed = model.queries(torch.cat([a[:4], 1 - a[4:]]))
    torch.testing.assert_close(together[:4], changed[:4])
    assert not torch.allclose(together[4:], changed[4:])


def test_split_batch_norm_matches_a_plain_loop():
    """Mean and variance of each half, in scalar float64 arithmetic."""
    model, given = model_of(with_batch_norm, splits=2).double(), views(6).double()
    model.train()
    conv, norm, _, last = model.encoder_q[0]
    maps = conv(given).permute(0, 2, 3, 1).tolist()
    expected = []
    for half in (maps[:3], maps[3:]):
        pixels = [pixel for photo in half for row in photo for pixel in row]
        means = [sum(channel) / len(channel) for channel in zip(*pixels, strict=True)]
        spreads = [
            math.sqrt(sum((v - mean) ** 2 for v in channel) / len(channel) + norm.eps)
            for channel, mean in zip(zip(*pixels, strict=True), means, strict=True)
        ]
        for photo in half:
            flat = [
                (photo[y][x][c] - means[c]) / spreads[c]
                for c in range(WIDTH)
                for y in range(2)
                for x in range(2)
            ]
            expected.append(flat)
    features = last(torch.tensor(expected, dtype=torch.float64))
    expected = F.normalize(model.encoder_q[1](features), dim=1)
    torch.testing.assert_close(model.queries(given).double(), expected, rtol=1e-5, atol=1e-6)


def test_queries_and_keys_have_unit_length():
    model = model_of()
    for vectors in (model.queries(views(7)), model.keys(views(7))):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(7))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mlp", [False, True])
def test_learns_in_both_precisions(bf16, mlp):
    model = model_of(with_batch_norm, symmetric=True, mlp=mlp, m=0.5, T=0.2)
    model.train()
    before = [p.clone() for p in model.encoder_q.parameters()]
    optimizer = torch.optim.SGD(model.encoder_q.parameters(), lr=0.1)
    for step in range(4):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(views(8, step), views(8, step), torch.arange(8))
        assert loss.isfinite()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() for p in model.encoder_q.parameters())
        optimizer.step()
    assert model.queue.dtype == torch.float32
    after = model.encoder_q.parameters()
    assert any(not torch.equal(x, y) for x, y in zip(before, after, strict=True))


def test_bf16_loss_is_close_to_float32():
    a, b, ids = views(8), views(8, 1), torch.arange(8)
    exact = model_of(T=0.5)(a, b, ids).item()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model_of(T=0.5)(a, b, ids).item()
    assert rounded == pytest.approx(exact, rel=0.03)


def test_state_dict_contains_the_queue():
    model, other = model_of(), model_of(K=16)
    model.enqueue(units(5, 5).float(), torch.arange(5))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.queue, model.queue)
    assert torch.equal(other.queue_ids, model.queue_ids)
    assert int(other.queue_ptr) == 5


def test_keys_come_from_shuffled_sub_batches():
    """Keys and queries of a photo are in different sub-batches, with different statistics."""
    model, a = model_of(with_batch_norm), views(8)
    model.train()
    with torch.no_grad():
        in_order = [F.normalize(model.encoder_k(part), dim=1) for part in a.tensor_split(2)]
        shuffled = [model.keys(a) for _ in range(3)]
    assert all(not torch.allclose(keys, torch.cat(in_order)) for keys in shuffled)
    assert not torch.allclose(shuffled[0], shuffled[1])
