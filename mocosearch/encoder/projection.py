"""A projection of features to keys, learned from views and neighbours of photos, without labels.

MoCo's task, an image's query near its own key, solved for the last layer alone: the projection by
which views of a photo come nearest to the photo's key, in the sense of least squares. Before that
each key is augmented by those of its neighbours, so that photos of the same kind come closer:
precision@10 rises by .02 to .03 on collections with labels, for photos that were not used too
(benchmarks/recipes.md). The network is unchanged, so it forgets nothing.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from mocosearch.encoder.augmentation import augment
from mocosearch.encoder.whitening import Array, Features, Whitening, leading

NEIGHBOURS = 5
"""Nearest keys that are added to each key."""
RANK = 800
"""Principal directions of the features in which the projection changes; more gain nothing."""
RIDGE = 0.1
"""Weight of an unchanged projection, in photos whose features are of average length."""
ROWS = 512
"""Rows of cosines, or of features in float32, at once."""


def learn(white: Whitening, features: Features, views: Features) -> Whitening:
    """The whitening with the projection that maps photos and their views to augmented keys.

    features, views: (n, D), of photos and of a view of each.
    """
    with threadpool_limits(1, user_api="blas"):
        keys = white.keys(features)
        targets = augmented(keys)
        x = features.astype(np.float32) - white.centre
        scale = float(np.linalg.norm(x @ white.projection, axis=1).mean()) or 1.0
        directions = leading(x, min(RANK, x.shape[1]), iterations=1)[1].astype(np.float32)
        length = float(np.einsum("ij,ij->", x, x)) / len(x)
        gram = RIDGE * length * np.eye(directions.shape[1])
        change = np.zeros((directions.shape[1], targets.shape[1]))
        for rows in (features, views):
            for at in range(0, len(rows), ROWS):
                part = rows[at : at + ROWS].astype(np.float32) - white.centre
                error = targets[at : at + ROWS] - part @ white.projection / scale
                part = part @ directions
                gram += part.T @ part
                change += part.T @ error
        weights = (scale * np.linalg.solve(gram, change)).astype(np.float32)
        projection = white.projection + directions @ weights
    return Whitening(white.centre, projection)


def augmented(keys: Array) -> Array:
    """Each of the keys (n, d), of unit length, plus its weighted neighbours, of unit length. Its
    cosine with itself is 1, so a key is not its own neighbour.
    """
    parts = [keys[at : at + ROWS] for at in range(0, len(keys), ROWS)]
    return np.concatenate([augment(part, part @ keys.T, keys, NEIGHBOURS) for part in parts])
