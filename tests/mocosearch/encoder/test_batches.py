"""Many pictures in batches, against one inference per picture."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mocosearch.encoder.batches import Batches
from mocosearch.encoder.runtime import in_batches, openvino

SIDE = 6


@pytest.fixture(scope="module")
def batches() -> Batches:
    """Two outputs per picture: the sum of each channel, and the first row."""
    openvino()
    import openvino.opset13 as ops
    from openvino import Model, Type

    pixels = ops.parameter([-1, SIDE, SIDE, 3], Type.u8)
    values = ops.convert(pixels, "f32")
    sums = ops.reduce_sum(values, np.array([1, 2]), False)
    row = ops.gather(values, np.array(0), np.array(1))
    return in_batches(Model([sums, row], [pixels]))


def pixels_of(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 300))
def test_outputs_are_those_of_each_picture_in_order(batches, n):
    pixels = pixels_of(n)
    sums, rows = batches.run(pixels)
    assert np.array_equal(sums, pixels.sum((1, 2), dtype=np.float32))
    assert np.array_equal(rows, pixels[:, 0])


def test_threads_share_it(batches):
    def is_right(n: int) -> bool:
        pixels = pixels_of(n)
        return np.array_equal(batches.run(pixels)[0], pixels.sum((1, 2), dtype=np.float32))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(is_right, range(1, 80)))


def test_outputs_stay_when_the_next_inference_runs(batches):
    first, second = pixels_of(2), pixels_of(3)
    submitted = [batches.submit(pixels) for pixels in (first, second, first)]
    results = [future.result()[0] for future in submitted]
    for pixels, sums in zip((first, second, first), results, strict=True):
        assert np.array_equal(sums, pixels.sum((1, 2), dtype=np.float32))


def test_an_error_of_one_inference_leaves_the_others(batches):
    with pytest.raises(RuntimeError):
        batches.run(np.zeros((2, SIDE + 1, SIDE, 3), np.uint8))
    for _ in range(4 * batches.at_once):
        assert batches.run(pixels_of(2))[0].shape == (2, 3)
