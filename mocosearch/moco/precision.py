"""The device that a network computes on, and its number format."""

import torch

from mocosearch.errors import Unsuitable


def resolve_device(name: str) -> torch.device:
    """The device for a name such as `cpu`, `cuda:0` or `mps`.

    `auto` is the accelerator that torch reports, if a computation on it succeeds, else the CPU.
    Raises Unsuitable for a device that does not exist or does not compute.
    """
    if name == "auto":
        device = torch.accelerator.current_accelerator(check_available=True)
        return device if device is not None and _computes(device) else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _no_device(name) from error
    if not _computes(device):
        raise _no_device(name)
    return device


def _computes(device: torch.device) -> bool:
    """A device that torch reports may be too old for this build, or busy: only a kernel shows."""
    try:
        return float((torch.ones(1, device=device) + 1).item()) == 2
    # Absent and unsupported devices raise many different exceptions.
    except Exception:
        return False


def _no_device(name: str) -> Unsuitable:
    return Unsuitable(f"torch has no usable device {name} here", "omit --device")


def autocast(device: str = "cpu", enabled: bool = True) -> torch.autocast:
    """Autocast to bf16 on devices with native bf16 arithmetic, and to fp16 on older CUDA devices;
    elsewhere it would only lose precision.

    device: a device type, such as `cpu` or `cuda`.
    """
    dtype = half_precision(device)
    return torch.autocast(device, dtype or torch.bfloat16, enabled=enabled and dtype is not None)


def loss_scaler(device: str) -> torch.amp.GradScaler:
    """Scales losses in fp16, whose small gradients would become 0; else it does nothing."""
    return torch.amp.GradScaler(device, enabled=half_precision(device) is torch.float16)


def half_precision(device: str) -> torch.dtype | None:
    """The 16-bit format that networks are trained in on a type of device, None for none."""
    if device == "cpu":
        native = torch.cpu.get_capabilities().get("avx512_bf16", False)
        return torch.bfloat16 if native else None
    if device != "cuda":
        return None
    native = torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float16
