"""Which numbers a network computes in."""

import torch


def autocast(enabled: bool = True) -> torch.autocast:
    """bf16 where the processor computes in it; elsewhere it would only round."""
    has_bf16 = bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled and has_bf16)
