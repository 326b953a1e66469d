"""Random views of a batch of photos, computed with matrix products.

Cropping, resizing, mirroring and Gaussian blur are linear and separable, so a view of a photo is
rows @ photo @ columns with two small matrices; the colour changes are one affine map per photo.
The augmentations and their ranges are those of MoCo v1 (arXiv:1911.05722, appendix A) and MoCo v2
(arXiv:2003.04297, section 3): random resized crop, colour jitter, grey, blur, mirror; and the
solarization of MoCo v3 (arXiv:2104.02057, as in BYOL, arXiv:2006.07733, appendix B).
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mocosearch.photos.decode import Pixels

LUMA = (0.299, 0.587, 0.114)
ROWS = 50
"""Photos whose views `random_views` computes at once."""


@dataclass(frozen=True)
class ViewSettings:
    """Probability or range of each augmentation."""

    scale: tuple[float, float] = (0.2, 1.0)
    """Share of the photo's area that a crop covers."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Aspect ratio (width / height) of a crop, log-uniform."""
    mirror: float = 0.5
    """Probability of a horizontal flip."""
    jitter: float = 0.8
    """Probability of colour jitter."""
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    """The factors are drawn from 1 - x..1 + x, the hue's rotation from -x..x turns."""
    grey: float = 0.2
    """Probability of conversion to grey."""
    blur: float = 0.5
    """Probability of blur."""
    sigma: tuple[float, float] = (0.1, 2.0)
    """Blur radius in pixels of a 224-pixel view; scaled for other sizes."""
    solarize: float = 0.0
    """Probability of inverting all values from 0.5 up."""


@dataclass(frozen=True)
class Views:
    """Random parameters of n views; every tensor has shape (n,)."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor
    """The crop in pixels of the photo."""
    mirrored: Tensor
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor
    sigma: Tensor
    """Blur radius in pixels of the view; 0 for none."""
    solarized: Tensor

    def to(self, device: torch.device) -> "Views":
        """The same parameters on another device."""
        moved = {f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)}
        return Views(**moved)


def draw(n: int, side: int, size: int, settings: ViewSettings, generator: torch.Generator) -> Views:
    """Draw the parameters of n views of `size` pixels, of photos of `side` pixels."""
    device = generator.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, device=device)

    def chance(p: float) -> Tensor:
        return torch.rand(n, generator=generator, device=device) < p

    area = uniform(*settings.scale) * side * side
    bounds = torch.tensor(settings.ratio).log().tolist()
    ratio = uniform(*bounds).exp()
    width = (area * ratio).sqrt().clamp(1, side)
    height = (area / ratio).sqrt().clamp(1, side)
    jittered = chance(settings.jitter)
    one, zero = torch.ones(n, device=device), torch.zeros(n, device=device)

    def factor(spread: float) -> Tensor:
        return torch.where(jittered, uniform(max(0.0, 1 - spread), 1 + spread), one)

    scale = size / 224
    none = torch.zeros(n, dtype=torch.bool, device=device)
    return Views(
        top=uniform(0, 1) * (side - height),
        left=uniform(0, 1) * (side - width),
        height=height,
        width=width,
        mirrored=chance(settings.mirror),
        brightness=factor(settings.brightness),
        contrast=factor(settings.contrast),
        saturation=factor(settings.saturation),
        hue=torch.where(jittered, uniform(-settings.hue, settings.hue), zero),
        grey=chance(settings.grey),
        sigma=torch.where(chance(settings.blur), uniform(*settings.sigma) * scale, zero),
        solarized=chance(settings.solarize) if settings.solarize else none,
    )


def render(photos: Tensor, views: Views, size: int) -> Tensor:
    """Compute the views: uint8 (n, side, side, 3) to float32 (n, 3, size, size) in 0..1, in
    channels_last memory.
    """
    n, side = photos.shape[0], photos.shape[1]
    rows = _resample(views.top, views.height, side, size)
    columns = _resample(views.left, views.width, side, size)
    columns = torch.where(views.mirrored[:, None, None], columns.flip(1), columns)
    blur = _gaussian(views.sigma, size)
    rows, columns = blur @ rows, blur @ columns

    pixels = torch.bmm(rows, photos.reshape(n, side, side * 3).float().div_(255))
    pixels = pixels.reshape(n, size, side, 3).permute(0, 3, 1, 2).reshape(n, 3 * size, side)
    pixels = torch.bmm(pixels, columns.transpose(1, 2)).reshape(n, 3, size * size)

    matrix, shift = _colour(views, pixels.mean(2))
    pixels = torch.baddbmm(shift[:, :, None], matrix, pixels).clamp_(0, 1)
    if views.solarized.any():
        invert = (pixels >= 0.5) & views.solarized[:, None, None]
        pixels = torch.where(invert, 1 - pixels, pixels)
    return pixels.reshape(n, 3, size, size).contiguous(memory_format=torch.channels_last)


def random_views(photos: Pixels, settings: ViewSettings, seed: int = 0) -> Pixels:
    """A random view of each photo, of the same size: uint8 (n, side, side, 3), as the photos."""
    side = photos.shape[1]
    generator = torch.Generator().manual_seed(seed)
    views = np.empty_like(photos)
    for at in range(0, len(photos), ROWS):
        part = torch.from_numpy(np.array(photos[at : at + ROWS]))
        pixels = render(part, draw(len(part), side, side, settings, generator), side)
        views[at : at + ROWS] = pixels.mul_(255).round_().byte().permute(0, 2, 3, 1).numpy()
    return views


def _resample(start: Tensor, length: Tensor, side: int, size: int) -> Tensor:
    """(n, size, side): the triangle filter of an antialiased bilinear resize of the crop."""
    grid = torch.arange(side, device=start.device) + 0.5
    scale = (length / size)[:, None]
    centres = start[:, None] + (torch.arange(size, device=start.device) + 0.5) * scale
    distance = (grid - centres[:, :, None]).abs() / scale.clamp(min=1)[:, :, None]
    weights = (1 - distance).clamp_(min=0)
    within = (grid > start[:, None]) & (grid < (start + length)[:, None])
    weights = weights * within[:, None, :]
    # A crop narrower than a pixel may contain no pixel centre; the nearest one is used.
    empty = weights.sum(2, keepdim=True) == 0
    nearest = torch.zeros_like(weights).scatter_(
        2, centres.long().clamp(0, side - 1)[:, :, None], 1.0
    )
    weights = torch.where(empty, nearest, weights)
    return weights / weights.sum(2, keepdim=True)


def _gaussian(sigma: Tensor, size: int) -> Tensor:
    """(n, size, size): blur as a matrix, reflected at the borders; the identity for sigma 0."""
    i = torch.arange(size, device=sigma.device)
    distance = torch.arange(2 * size, device=sigma.device)
    bell = torch.exp(-distance.square() / (2 * sigma.clamp(min=1e-3).square()[:, None]))

    def at(distances: Tensor) -> Tensor:
        return bell.index_select(1, distances.flatten()).reshape(-1, size, size)

    matrix = at((i[:, None] - i).abs())
    matrix += at(i[:, None] + i) * (i > 0)
    matrix += at(2 * (size - 1) - i[:, None] - i) * (i < size - 1)
    return matrix / matrix.sum(2, keepdim=True)


def _colour(views: Views, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness, contrast, saturation, hue and grey as one affine map: (n, 3, 3) and (n, 3).

    mean: (n, 3), each view's mean colour, needed for contrast. Factors and order are those of
    torchvision's ColorJitter. The hue rotates in the YIQ plane, which is linear and preserves
    luma; torchvision's rotates in HSV.
    """
    luma = torch.tensor(LUMA, device=mean.device)
    to_grey = luma.expand(3, 3)
    eye = torch.eye(3, device=mean.device)
    matrix = eye * views.brightness[:, None, None]
    grey = ((matrix @ mean[:, :, None]).squeeze(2) @ luma)[:, None]
    matrix = matrix * views.contrast[:, None, None]
    shift = ((1 - views.contrast)[:, None] * grey).expand(-1, 3)
    saturation = torch.where(views.grey, 0.0, views.saturation)[:, None, None]
    towards_grey = saturation * eye + (1 - saturation) * to_grey
    change = _hue_rotation(views.hue) @ towards_grey
    return change @ matrix, (change @ shift[:, :, None]).squeeze(2)


def _hue_rotation(hue: Tensor) -> Tensor:
    """(n, 3, 3): a rotation of the chroma plane by `hue` turns."""
    to_yiq = torch.tensor(
        [LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)], device=hue.device
    )
    angle = hue * (2 * torch.pi)
    c, s = angle.cos(), angle.sin()
    zero, one = torch.zeros_like(hue), torch.ones_like(hue)
    rotation = torch.stack([one, zero, zero, zero, c, s, zero, -s, c], 1).reshape(-1, 3, 3)
    in_rgb: Tensor = torch.linalg.inv(to_yiq) @ rotation @ to_yiq
    return in_rgb
