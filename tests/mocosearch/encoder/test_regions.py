"""Regions of a picture: their layout, and the pooling against a plain loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mocosearch.encoder import Encoder
from mocosearch.encoder.regions import REGIONS, SCALES, Regions, _shares, joint
from mocosearch.encoder.runtime import openvino


def test_regions_lie_in_the_photo_and_cover_it():
    assert (REGIONS[:, :2] >= 0).all()
    assert (REGIONS[:, :2] + REGIONS[:, 2:] <= 1 + 1e-9).all()
    for side in np.unique(REGIONS[:, 2]):
        level = REGIONS[REGIONS[:, 2] == side]
        for x in np.linspace(0, 0.999, 40):
            assert ((level[:, 0] <= x) & (x < level[:, 0] + side + 1e-9)).any()


@given(
    left=st.floats(0, 0.6), top=st.floats(0, 0.6), side=st.floats(0.1, 0.4),
    height=st.integers(1, 12), width=st.integers(1, 12),
)  # fmt: skip
def test_the_shares_of_cells_are_their_overlaps_with_the_box(left, top, side, height, width):
    shares = _shares(np.array([(left, top, side, side)]), height, width)[0].reshape(height, width)
    for row in range(height):
        for column in range(width):
            high = min((row + 1) / height, top + side) - max(row / height, top)
            wide = min((column + 1) / width, left + side) - max(column / width, left)
            expected = max(high, 0) * max(wide, 0) / side**2
            assert shares[row, column] == pytest.approx(expected, abs=1e-5)


def test_one_pass_gives_keys_and_regions_as_two_do():
    encoder = Encoder.open("starter")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, encoder.side, encoder.side, 3), dtype=np.uint8)
    keys, features = joint(encoder.model(openvino().Core())).run(pixels)
    assert np.array_equal(keys, encoder.encode(pixels))
    expected = Regions(encoder).photos(pixels)
    assert features.shape == expected.shape
    assert np.abs(features.astype(float) - expected).max() < 0.01


def test_features_of_regions_have_two_blocks_of_unit_length():
    encoder = Encoder.open("starter")
    regions = Regions(encoder)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, encoder.side, encoder.side, 3), dtype=np.uint8)
    features = regions.photos(pixels).astype(np.float32)
    assert features.shape[:2] == (3, len(REGIONS))
    assert np.linalg.norm(features, axis=2) == pytest.approx(2**0.5, abs=1e-2)
    query = regions.query(Image.fromarray(pixels[0]))
    assert query.shape == (2 * len(SCALES), features.shape[2])


def test_the_graph_of_a_query_is_cached_and_gives_the_same_features(home):
    encoder = Encoder.open("starter")
    picture = Image.effect_noise((60, 40), 80).convert("RGB")
    first = Regions(encoder).query(picture)
    [file] = (home / "cache" / "compiled").iterdir()
    assert np.array_equal(Regions(encoder).query(picture), first)
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert np.array_equal(Regions(encoder).query(picture), first)
