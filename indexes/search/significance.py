"""How unusual a score is in a collection, measured on random pairs of its photos."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexes.search import segments
from indexes.store.records import Keys, id_key
from indexes.store.txn import Txn

SAMPLE = 1000
"""Photos of which all pairs are compared: half a million cosines, in a hundredth of a second."""
LEAST_PAIRS = 8
"""Pairs that the rarest score is measured on."""
MIN_POWER = 9
"""The line needs scores as rare as one pair in 2**MIN_POWER, which takes 92 photos. In a smaller
collection a large share of the photos are similar, and none would stand out."""
RAREST = 1e9
RATE = 0.5
"""Share of the results above the line that may be above it by chance."""


@dataclass(frozen=True)
class Significance:
    """scores[i] is the cosine that one in 2**i pairs of photos reaches, ascending.

    Beyond the last score, the tail is extrapolated exponentially.
    """

    scores: Sequence[float]

    def one_in(self, score: float, tries: int = 1) -> float:
        """One pair in so many has this cosine or a higher one, 1..RAREST.

        tries: the number of query keys whose best score this is.
        """
        if len(self.scores) < 2:
            return 1.0
        last = len(self.scores) - 1
        power = float(np.interp(score, self.scores, range(last + 1)))
        if score > self.scores[-1]:
            back = min(4, last)
            step = (self.scores[-1] - self.scores[-1 - back]) / back
            power = last + (score - self.scores[-1]) / max(step, 1e-6)
        return float(min(max(2.0 ** min(power, 60.0) / tries, 1.0), RAREST))

    def line(self, scores: Sequence[float], photos: int, tries: int = 1) -> int:
        """How many of the best scores, in descending order, are better than chance.

        The line is the last rank at which a random photo, among as many photos, would have less
        than RATE of the results so far (Benjamini and Hochberg 1995). All scores, where too few
        pairs were measured. photos: the number searched. tries: as of `one_in`.
        """
        if len(self.scores) <= MIN_POWER:
            return len(scores)
        good = 0
        for rank, score in enumerate(scores, 1):
            if photos <= RATE * rank * self.one_in(score, tries):
                good = rank
        return good


def measure(keys: Keys) -> Significance:
    """Measure all pairs of some photos' keys, float32 (n, d) of unit length."""
    pairs = (keys @ keys.T)[np.triu_indices(len(keys), 1)]
    if len(pairs) < LEAST_PAIRS:
        return Significance(())
    powers = int(np.log2(len(pairs) / LEAST_PAIRS))
    shares = 1.0 - 0.5 ** np.arange(powers + 1)
    return Significance(np.maximum.accumulate(np.quantile(pairs, shares)).tolist())


def save_significance(txn: Txn) -> None:
    """Measure and store it, unless the stored one was measured on the same photos."""
    # Ids are never reused: a new photo changes the next id, a deleted one the count.
    photos = bytes(txn.get("meta", b"next_id") or b"") + txn.count("images").to_bytes(8, "big")
    before = txn.get("meta", b"chance_of")
    if before is not None and bytes(before) == photos:
        return
    stored = [segments.part(txn, number, b"ids") for number in segments.numbers(txn)]
    ids = np.concatenate(
        [np.empty(0, np.uint64), *(np.frombuffer(bytes(some), np.uint64) for some in stored)]
    )
    some = np.random.default_rng(0).permutation(ids)[: 2 * SAMPLE]
    keys = [txn.get("vectors", id_key(int(id))) for id in some]
    present = [np.frombuffer(bytes(key), np.float16) for key in keys if key is not None][:SAMPLE]
    rows = np.stack(present).astype(np.float32) if present else np.empty((0, 1), np.float32)
    txn.put("meta", b"chance", json.dumps(measure(rows).scores).encode())
    txn.put("meta", b"chance_of", photos)


def load_significance(txn: Txn) -> Significance:
    """As measured when photos were last indexed; before that, no score is unusual."""
    stored = txn.get("meta", b"chance")
    return Significance(json.loads(bytes(stored)) if stored is not None else ())
