import numpy as np
import pytest
from PIL import Image

from mocosearch.evaluation.baselines import (
    alteration_recall,
    query_keys,
    significantly_higher,
    thumbnails,
)


def test_thumbnails_are_invariant_to_brightness_and_contrast(picture) -> None:
    one = picture(1)
    keys = thumbnails([one, one.point([40 + i // 2 for i in range(256)] * 3), picture(2)])
    assert np.linalg.norm(keys, axis=1) == pytest.approx(1, abs=1e-5)
    assert keys[0] @ keys[1] > 0.999
    assert keys[0] @ keys[2] < 0.9
    assert thumbnails([Image.new("RGB", (9, 9), "red")]).any()
    assert np.isfinite(thumbnails([Image.new("L", (9, 9))])).all()


def test_recall_of_identical_and_of_swapped_pictures(picture) -> None:
    pictures = [picture(seed) for seed in range(6)]
    views = {"same": pictures, "others": pictures[1:] + pictures[:1]}
    methods = {"8x8": thumbnails}
    figures = alteration_recall(methods, pictures, query_keys(methods, views))
    assert figures == {"8x8": {"same": 1.0, "others": 0.0}}


def test_significantly_higher() -> None:
    assert significantly_higher(0.9, [0.5, 0.6], 200)
    assert not significantly_higher(0.62, [0.5, 0.6], 200)
    assert not significantly_higher(0.5, [0.6], 200)
    assert not significantly_higher(1.0, [1.0], 200)
