"""Convolutions as matrix products: equal to torch's, in both directions."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mocosearch.moco import convolution
from mocosearch.moco.backbones import Backbone
from mocosearch.moco.convolution import Convolution, use_products

LAYERS = st.fixed_dictionaries(
    {
        "kernel_size": st.integers(1, 3),
        "stride": st.integers(1, 3),
        "padding": st.integers(0, 2),
        "bias": st.booleans(),
    }
)


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products whatever the sizes."""
    dtypes = torch.float64, torch.float32, torch.bfloat16
    monkeypatch.setattr(convolution, "FEWEST", dict.fromkeys(dtypes, 0))


@given(
    LAYERS,
    st.integers(1, 3),
    st.sampled_from([(1, 2), (3, 1), (4, 4)]),
    st.tuples(st.integers(3, 7), st.integers(3, 7)),
)
def test_outputs_and_gradients_are_those_of_torch(
    layer: dict[str, int], n: int, channels: tuple[int, int], size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(*channels, **layer).double()
    product = nn.Conv2d(*channels, **layer).double()
    product.load_state_dict(plain.state_dict())
    use_products(product)
    assert isinstance(product, Convolution)
    x = torch.randn(n, channels[0], *size, dtype=torch.float64)
    results = []
    for module in (plain, product):
        leaf = x.clone().requires_grad_()
        y = module(leaf)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=torch.float64).reshape(y.shape))
        results.append([y, leaf.grad, *(weight.grad for weight in module.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_weights_and_inputs_have_no_gradient() -> None:
    module = nn.Conv2d(4, 6, 3)
    use_products(module)
    module.requires_grad_(False)
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    assert module.weight.grad is None
    assert not module(x.detach()).requires_grad
    module.requires_grad_(True)
    module(x.detach()).sum().backward()
    assert module.weight.grad is not None


def test_autocast_decides_the_precision() -> None:
    module = nn.Conv2d(8, 8, 3, padding=1)
    use_products(module)
    x = torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        y = module(x)
        expected = F.conv2d(x, module.weight, module.bias, padding=1)
    assert y.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(y, expected, atol=0.02, rtol=0.02)


def test_only_suitable_convolutions_are_replaced() -> None:
    others = [
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, (3, 1)),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ]
    use_products(nn.Sequential(*others))
    assert not any(isinstance(module, Convolution) for module in others)


def test_few_pixels_are_a_product_in_training_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    calls: list[str] = []
    real = convolution._patches
    monkeypatch.setattr(convolution, "_patches", lambda *w: calls.append("product") or real(*w))
    network = Backbone("resnet10").train()
    use_products(network)
    network(torch.rand(2, 3, 32, 32))
    assert calls
    calls.clear()
    network.eval()(torch.rand(2, 3, 32, 32))
    assert not calls
