"""The photos of a step, copied to the device."""

import torch
from torch import Tensor

from mocosearch.photos.decode import Pixels


class Reader:
    """Reads photos from the pixel cache; the copy to an accelerator does not wait for it.

    pixels: uint8 (n, side, side, 3), possibly memory-mapped.
    """

    def __init__(self, pixels: Pixels, device: torch.device) -> None:
        self._pixels, self._device = pixels, device
        self._next: tuple[Tensor, Tensor] | None = None

    def read(self, rows: Tensor) -> Tensor:
        """The photos of int64 rows (n,): uint8 (n, side, side, 3) on the device."""
        if self._next is not None and torch.equal(self._next[0], rows):
            photos = self._next[1]
        else:
            photos = self._load(rows)
        self._next = None
        return photos.to(self._device, non_blocking=True)

    def read_ahead(self, rows: Tensor) -> None:
        """Load photos that the next step will read, while an accelerator computes this one."""
        self._next = rows, self._load(rows)

    def _load(self, rows: Tensor) -> Tensor:
        photos = torch.from_numpy(self._pixels[rows.numpy()])
        # Copies from pinned memory alone run beside the computation.
        return photos.pin_memory() if self._device.type == "cuda" else photos
