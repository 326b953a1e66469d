"""Where a network computes, and in which numbers."""

import torch

from mocosearch.errors import Unsuitable


def device_of(name: str) -> torch.device:
    """`auto` is the accelerator where torch finds one that computes (CUDA, MPS), else the
    processor. Raises Unsuitable for one that does not.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found if found is not None and _computes(found) else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _absent(name) from error
    if not _computes(device):
        raise _absent(name)
    return device


def _computes(device: torch.device) -> bool:
    """One that is found may be too old for this torch, or busy, which only a kernel tells."""
    try:
        return float((torch.ones(1, device=device) + 1).item()) == 2
    # A device that torch was not built for, or that is not there, fails in many ways.
    except Exception:
        return False


def _absent(name: str) -> Unsuitable:
    return Unsuitable(f"torch finds no device {name} here", "leave --device away")


def autocast(device: str = "cpu", enabled: bool = True) -> torch.autocast:
    """bf16 where the device computes in it; elsewhere it would only round."""
    return torch.autocast(device, torch.bfloat16, enabled=enabled and _has_bf16(device))


def _has_bf16(device: str) -> bool:
    if device == "cpu":
        return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
