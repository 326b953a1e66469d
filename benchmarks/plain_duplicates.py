"""The baseline of duplicates: imagededup's own search, on hashes or keys that are made already.

Run by a Python that has imagededup; prints one JSON line, the pairs that were found.

    python plain_duplicates.py PHash|CNN ARRAY.npy LEAST
"""

import json
import sys

import numpy as np
from imagededup.methods import CNN, PHash
from imagededup.utils.logger import return_logger


def main(method: str, array: str, least: str) -> None:
    rows = np.load(array)
    names = [f"{number:07}.jpg" for number in range(len(rows))]
    if method == "PHash":
        hashes = {name: f"{row:016x}" for name, row in zip(names, rows.tolist(), strict=True)}
        found = PHash(verbose=False).find_duplicates(
            encoding_map=hashes, max_distance_threshold=int(least)
        )
    else:
        # Its constructor fetches a network, which a search of keys does not need.
        search = CNN.__new__(CNN)
        search.verbose, search.logger = False, return_logger(__name__)
        found = search.find_duplicates(
            encoding_map=dict(zip(names, rows, strict=True)), min_similarity_threshold=float(least)
        )
    # Each pair stands there from both of its sides.
    print(json.dumps({"pairs": sum(map(len, found.values())) // 2}))


if __name__ == "__main__":
    main(*sys.argv[1:])
