from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms.v2 import functional as tv

from mocosearch.moco.views import Views, ViewSettings, draw, render


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos_of(n: int, side: int, low: int = 0, high: int = 256, seed: int = 0) -> torch.Tensor:
    """Noise, which reveals errors of a filter."""
    shape = (n, side, side, 3)
    return torch.randint(low, high, shape, generator=generator(seed), dtype=torch.uint8)


def to_float(photos: torch.Tensor) -> torch.Tensor:
    return photos.permute(0, 3, 1, 2).float() / 255


def plain(n: int, side: int, **changes) -> Views:
    """Identity views, except for `changes`."""
    one, zero, no = torch.ones(n), torch.zeros(n), torch.zeros(n, dtype=torch.bool)
    views = Views(
        top=zero,
        left=zero,
        height=one * side,
        width=one * side,
        mirrored=no,
        brightness=one,
        contrast=one,
        saturation=one,
        hue=zero,
        grey=no,
        sigma=zero,
        solarized=no,
    )
    return replace(views, **{k: torch.full((n,), v) for k, v in changes.items()})


def assert_near(actual: torch.Tensor, expected: torch.Tensor, levels: float) -> None:
    torch.testing.assert_close(
        actual.contiguous(), expected.contiguous(), rtol=0, atol=levels / 255
    )


def test_views_are_valid_pictures():
    photos = photos_of(16, 24)
    views = draw(16, 24, 20, ViewSettings(), generator())
    out = render(photos, views, 20)
    assert out.shape == (16, 3, 20, 20)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.isfinite().all()
    assert out.min() >= 0
    assert out.max() <= 1


def test_photos_are_unchanged():
    photos = photos_of(4, 16)
    before = photos.clone()
    render(photos, draw(4, 16, 12, ViewSettings(), generator()), 12)
    assert torch.equal(photos, before)


def test_views_depend_on_the_seed():
    photos = photos_of(8, 24)
    one, same, other = (
        render(photos, draw(8, 24, 16, ViewSettings(), generator(s)), 16) for s in (5, 5, 6)
    )
    assert torch.equal(one, same)
    assert all(not torch.allclose(a, b) for a, b in zip(one, other, strict=True))


def test_views_do_not_depend_on_the_global_seed():
    torch.manual_seed(1)
    one = draw(8, 24, 16, ViewSettings(), generator())
    torch.manual_seed(2)
    same = draw(8, 24, 16, ViewSettings(), generator())
    assert all(torch.equal(getattr(one, f.name), getattr(same, f.name)) for f in fields(Views))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**30), st.integers(1, 300), st.floats(0.001, 1))
def test_crops_are_inside_the_photo(seed, side, smallest):
    options = ViewSettings(scale=(smallest, 1.0))
    views = draw(32, side, 32, options, generator(seed))
    for start, length in ((views.top, views.height), (views.left, views.width)):
        assert (start >= 0).all()
        assert (length >= 1).all()
        assert (start + length <= side * (1 + 1e-6)).all()


def test_parameters_are_within_their_ranges():
    n, options = 4000, ViewSettings()
    views = draw(n, 100, 112, options, generator())
    for factor in (views.brightness, views.contrast, views.saturation):
        assert factor.min() >= 0.6
        assert factor.max() <= 1.4
        assert (factor == 1).float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert views.hue.abs().max() <= 0.1
    assert views.sigma.max() <= 1.0
    assert (views.sigma == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert views.mirrored.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert views.grey.float().mean().item() == pytest.approx(0.2, abs=0.03)
    ratio = (views.width / views.height).log()
    assert ratio.abs().max() <= torch.tensor(4 / 3).log() + 1e-4
    area = views.width * views.height / 100**2
    assert area.min() >= 0.2 - 1e-4


def test_identity_at_equal_size():
    photos = photos_of(3, 17)
    assert_near(render(photos, plain(3, 17), 17), to_float(photos), 0.01)


def test_mirror_is_an_exact_flip():
    photos = photos_of(3, 20)
    options = {"left": 3.0, "width": 11.0, "top": 1.0, "height": 16.0, "sigma": 0.7}
    unflipped = render(photos, plain(3, 20, **options), 12)
    mirrored = render(photos, plain(3, 20, **options, mirrored=True), 12)
    assert_near(mirrored, unflipped.flip(3), 0.001)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_crop_and_resize_match_torchvision(data):
    side, size = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 40))
    height, width = data.draw(st.integers(1, side)), data.draw(st.integers(1, side))
    top, left = data.draw(st.integers(0, side - height)), data.draw(st.integers(0, side - width))
    photos = photos_of(2, side, seed=side)
    box = {"top": top, "left": left, "height": height, "width": width}
    actual = render(photos, plain(2, side, **{k: float(v) for k, v in box.items()}), size)
    expected = tv.resized_crop(to_float(photos), **box, size=[size, size], antialias=True)
    assert_near(actual, expected, 2)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.0, 4.0])
def test_blur_matches_torchvision(sigma):
    photos = photos_of(2, 32)
    expected = tv.gaussian_blur(to_float(photos), kernel_size=[61, 61], sigma=sigma)
    assert_near(render(photos, plain(2, 32, sigma=sigma), 32), expected, 0.1)


def test_blur_does_not_change_a_flat_picture():
    photos = torch.full((1, 16, 16, 3), 77, dtype=torch.uint8)
    assert_near(render(photos, plain(1, 16, sigma=3.0), 16), to_float(photos), 0.01)


@pytest.mark.parametrize("factor", [0.6, 0.9, 1.0, 1.3])
@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_colours_match_torchvision_without_clipping(what, factor):
    photos = photos_of(3, 12, 90, 150)
    expected = getattr(tv, f"adjust_{what}")(to_float(photos), factor)
    assert expected.min() > 0
    assert expected.max() < 1
    assert_near(render(photos, plain(3, 12, **{what: factor}), 12), expected, 0.2)


def test_colours_change_in_the_order_of_color_jitter():
    photos = photos_of(3, 12, 90, 150)
    expected = tv.adjust_brightness(to_float(photos), 1.2)
    expected = tv.adjust_contrast(expected, 0.7)
    expected = tv.adjust_saturation(expected, 1.3)
    options = {"brightness": 1.2, "contrast": 0.7, "saturation": 1.3}
    assert_near(render(photos, plain(3, 12, **options), 12), expected, 0.2)


def test_grey_has_equal_channels():
    photos = photos_of(2, 12)
    out = render(photos, plain(2, 12, grey=True, saturation=1.4, hue=0.07), 12)
    assert_near(out[:, :1].expand(-1, 3, -1, -1), out, 0.01)
    assert_near(out, tv.rgb_to_grayscale(to_float(photos), 3), 0.2)


@pytest.mark.parametrize("turn", [0.0, 1.0, -1.0])
def test_a_full_hue_rotation_is_the_identity(turn):
    photos = photos_of(2, 12)
    assert_near(render(photos, plain(2, 12, hue=turn), 12), to_float(photos), 0.01)


def test_hue_preserves_luma():
    photos = photos_of(2, 12, 110, 140)
    result = render(photos, plain(2, 12, hue=0.2), 12)
    before, after = (tv.rgb_to_grayscale(x) for x in (to_float(photos), result))
    assert_near(after, before, 0.2)
    assert (result - to_float(photos)).abs().max() > 5 / 255


def test_each_photo_gets_its_own_view():
    photos = photos_of(1, 16).expand(4, -1, -1, -1)
    together = draw(4, 16, 12, ViewSettings(), generator(2))
    out = render(photos, together, 12)
    for i in range(4):
        alone = Views(**{f.name: getattr(together, f.name)[i : i + 1] for f in fields(Views)})
        assert_near(render(photos[:1], alone, 12), out[i : i + 1], 0.01)


def test_solarize_matches_pillow():
    photos = photos_of(3, 12)
    expected = [ImageOps.solarize(Image.fromarray(p.numpy())) for p in photos]
    expected = torch.stack([torch.from_numpy(np.array(p)) for p in expected])
    assert_near(render(photos, plain(3, 12, solarized=True), 12), to_float(expected), 0.01)


def test_solarize_has_its_probability_and_changes_no_other_parameter():
    without = draw(4000, 100, 112, ViewSettings(), generator())
    often = draw(4000, 100, 112, ViewSettings(solarize=0.2), generator())
    assert not without.solarized.any()
    assert often.solarized.float().mean().item() == pytest.approx(0.2, abs=0.03)
    for field in fields(Views):
        if field.name != "solarized":
            assert torch.equal(getattr(without, field.name), getattr(often, field.name))


def chroma(pictures: torch.Tensor) -> torch.Tensor:
    return (pictures - tv.rgb_to_grayscale(pictures, 3)).flatten()


@pytest.mark.parametrize("turn", [-0.1, -0.04, 0.03, 0.1])
def test_hue_rotation_is_close_to_torchvision(turn):
    """Ours rotates in the YIQ plane; torchvision's HSV changes the luma as well, so that chroma is
    compared: a cosine above .95 with torchvision's, and above that of the original picture.
    """
    photos = photos_of(4, 24, 90, 150)
    expected = chroma(tv.adjust_hue(to_float(photos), turn))
    result = chroma(render(photos, plain(4, 24, hue=turn), 24))
    likeness = torch.cosine_similarity(result, expected, 0)
    assert likeness > 0.95
    assert likeness > torch.cosine_similarity(chroma(to_float(photos)), expected, 0)


def test_a_complete_view_matches_torchvision():
    """Crop, mirror, colours and blur without clipping: within 2 of 255 levels."""
    photos = photos_of(2, 40, 90, 150)
    box = {"top": 4, "left": 7, "height": 30, "width": 24}
    expected = tv.resized_crop(to_float(photos), **box, size=[20, 20], antialias=True)
    expected = tv.adjust_contrast(tv.adjust_brightness(expected, 1.1), 0.8)
    expected = tv.adjust_saturation(expected, 1.2)
    expected = tv.gaussian_blur(expected, kernel_size=[39, 39], sigma=1.3)
    expected = tv.horizontal_flip(expected)
    options = {"brightness": 1.1, "contrast": 0.8, "saturation": 1.2, "sigma": 1.3}
    changes = {**{k: float(v) for k, v in box.items()}, **options, "mirrored": True}
    assert_near(render(photos, plain(2, 40, **changes), 20), expected, 2)
