"""Where a network computes, and in which numbers."""

import torch

from mocosearch.errors import Unsuitable


def device_of(name: str) -> torch.device:
    """`auto` is the accelerator where torch finds one (CUDA, MPS), else the processor.

    Raises Unsuitable for one that is not there.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # A device that torch was not built for, or that is not there, fails in many ways.
    except Exception as error:
        raise Unsuitable(f"torch finds no device {name} here", "leave --device away") from error
    return device


def autocast(device: str = "cpu", enabled: bool = True) -> torch.autocast:
    """bf16 where the device computes in it; elsewhere it would only round."""
    return torch.autocast(device, torch.bfloat16, enabled=enabled and _has_bf16(device))


def _has_bf16(device: str) -> bool:
    if device == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
