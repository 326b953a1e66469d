import numpy as np
import pytest
from PIL import Image

from mocosearch.evaluation.baselines import (
    alteration_recall,
    query_keys,
    significantly_higher,
    thumbnails,
)


def test_thumbnails_know_neither_brightness_nor_contrast(picture) -> None:
    one = picture(1)
    keys = thumbnails([one, one.point([40 + i // 2 for i in range(256)] * 3), picture(2)])
    assert np.linalg.norm(keys, axis=1) == pytest.approx(1, abs=1e-5)
    assert keys[0] @ keys[1] > 0.999
    assert keys[0] @ keys[2] < 0.9
    assert thumbnails([Image.new("RGB", (9, 9), "red")]).any()
    assert np.isfinite(thumbnails([Image.new("L", (9, 9))])).all()


def test_views_that_are_the_pictures_find_them_all(picture) -> None:
    pictures = [picture(seed) for seed in range(6)]
    views = {"same": pictures, "others": pictures[1:] + pictures[:1]}
    ways = {"8x8": thumbnails}
    found = alteration_recall(ways, pictures, query_keys(ways, views))
    assert found == {"8x8": {"same": 1.0, "others": 0.0}}


def test_more_is_more_than_chance_explains() -> None:
    assert significantly_higher(0.9, [0.5, 0.6], 200)
    assert not significantly_higher(0.62, [0.5, 0.6], 200)
    assert not significantly_higher(0.5, [0.6], 200)
    assert not significantly_higher(1.0, [1.0], 200)
