import numpy as np

from mocosearch.encoder import Encoder
from mocosearch.evaluation.untrained import untrained_encoder


def test_untrained_encoder_computes_keys_that_depend_on_the_seed(encoder: Encoder, picture) -> None:
    side = encoder.side
    pixels = np.stack([np.asarray(picture(seed).resize((side, side))) for seed in range(12)])
    encode = untrained_encoder(encoder.card, pixels)
    keys = encode(pixels[:5])
    assert keys.shape == (5, encoder.dimension)
    assert keys.dtype == np.float32
    assert np.allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-5)
    assert np.allclose(keys, encode(pixels)[:5], atol=1e-2)
    assert np.abs(keys - untrained_encoder(encoder.card, pixels, seed=1)(pixels[:5])).max() > 0.01
