"""Muon against a plain loop on one matrix, and on a small network."""

import torch
from torch import nn

from mocosearch.moco.optimizers.muon import Muon


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(24, 5)
    )
    return net.to(memory_format=torch.channels_last)


def step(net: nn.Module, optimizer: Muon, seed: int) -> None:
    optimizer.zero_grad()
    pictures = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    net(pictures).square().mean().backward()
    optimizer.step()


def test_every_weight_changes_and_kernels_by_an_amount_independent_of_the_gradient() -> None:
    net = network()
    before = [p.detach().clone() for p in net.parameters()]
    optimizer = Muon(net.parameters(), 0.0)
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * group.get("rates", 1.0)
    step(net, optimizer, 0)
    changes = [p.detach() - b for p, b in zip(net.parameters(), before, strict=True)]
    assert all(m.abs().sum() > 0 for m in changes[:3])
    for m in changes:
        if m.ndim > 1:
            size = float(m.square().mean().sqrt()) / (0.2 * 0.01)
            assert 0.5 < size < 1.5


def test_a_step_is_orthogonalised_momentum() -> None:
    """Jordan et al.: U V^T of the Nesterov momentum, computed by SVD."""
    net = network()
    weight = net[3].weight
    optimizer = Muon(net.parameters(), 0.0)
    optimizer.param_groups[0]["lr"] = 0.01
    momentum = torch.zeros_like(weight)
    for seed in range(3):
        before = weight.detach().clone()
        step(net, optimizer, seed)
        gradient = weight.grad
        assert gradient is not None
        momentum = 0.9 * momentum + 0.1 * gradient
        u, _, v = torch.linalg.svd(0.1 * gradient + 0.9 * momentum, full_matrices=False)
        expected = -0.01 * 0.2 * max(weight.shape) ** 0.5 * (u @ v)
        changes = weight.detach() - before
        # Three steps of Newton and Schulz give singular values between about .5 and 1.5.
        assert torch.nn.functional.cosine_similarity(changes.flatten(), expected.flatten(), 0) > 0.9


def test_state_dict_resumes_exactly() -> None:
    uninterrupted, first = network(), network()
    optimizer_of_all, first_optimizer = (
        Muon(uninterrupted.parameters(), 0.0),
        Muon(first.parameters(), 0.0),
    )
    for optimizer in (optimizer_of_all, first_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = 0.01
    step(uninterrupted, optimizer_of_all, 0)
    step(uninterrupted, optimizer_of_all, 1)
    step(first, first_optimizer, 0)
    second = network()
    second.load_state_dict(first.state_dict())
    resumed_optimizer = Muon(second.parameters(), 0.0)
    resumed_optimizer.load_state_dict(first_optimizer.state_dict())
    step(second, resumed_optimizer, 1)
    for a, b in zip(uninterrupted.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
