"""A look in an index: its question, the photos to ask about, and how many would be wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexes.looks.look import Look
from indexes.looks.model import SURE, Background, Matrix, Model, fit
from indexes.search.filters import Where
from indexes.search.question import Question, ask, unit
from indexes.search.view import View
from indexes.store.records import Ids, Keys, Record, next_id
from mocosearch.encoder import Encoder
from mocosearch.photos.decode import digest_of

SAMPLE = 4096
"""Photos that stand for the collection."""
CANDIDATES = 2000
"""Photos with the highest scores among which a look asks and adds."""


@dataclass(frozen=True)
class Expectation:
    """What a look would do in an index.

    adds: photos without an answer that it holds for certain enough. wrong: the share of them that
    is expected to be wrong, 0..1, from the examples, each scored by a model that does not know it.
    examples: their number.
    """

    adds: int
    wrong: float
    examples: int


@dataclass(frozen=True)
class Doubt:
    """A photo to ask about, and how probably it belongs to the look, 0..1."""

    record: Record
    probability: float


class Lesson:
    """A look in one snapshot of an index. Answers about photos that the index does not have are
    left out.
    """

    def __init__(self, look: Look, snapshot: View, encoder: Encoder) -> None:
        self.look, self.snapshot = look, snapshot
        ids = snapshot.among(Where())
        rows = np.unique(np.linspace(0, len(ids) - 1, min(SAMPLE, len(ids))).astype(int))
        self.background = Background(snapshot.keys(ids[rows]))
        images = {wanted: look.images(wanted) for wanted in (True, False)}
        self._digests = {digest_of(image).hex() for some in images.values() for image in some}
        self._pictures = {
            wanted: self._picture_keys(some, encoder) for wanted, some in images.items()
        }

    def _picture_keys(self, images: Sequence[bytes], encoder: Encoder) -> Keys:
        ids = [self.snapshot.id_of(digest_of(image).hex()) for image in images]
        keys = [
            self.snapshot.keys([id]) if id else ask(encoder, image).keys[:1]
            for image, id in zip(images, ids, strict=True)
        ]
        return np.concatenate([np.empty((0, encoder.dimension), np.float32), *keys])

    @property
    def next_id(self) -> int:
        """The id from which on photos will be new."""
        return max(next_id(part.txn) for part in self.snapshot.parts)

    def learn(self, look: Look) -> Model:
        """The model for the pictures and the answers of the look, which may have more by now."""
        self.look = look
        return fit(self._examples(True), self._examples(False), self.background)

    def _examples(self, wanted: bool) -> Keys:
        answers = [digest for digest, answer in self.look.answers.items() if answer == wanted]
        ids = [id for id in map(self.snapshot.id_of, answers) if id]
        return np.concatenate([self._pictures[wanted], *([self.snapshot.keys(ids)] if ids else [])])

    def question(self) -> Question:
        """The question that the look asks."""
        direction = self.learn(self.look).direction[None].astype(np.float32)
        return Question(unit(direction))

    def unwanted(self) -> frozenset[int]:
        """The ids of the photos that do not belong to the look by an answer."""
        answers = (digest for digest, answer in self.look.answers.items() if not answer)
        return frozenset(id for id in map(self.snapshot.id_of, answers) if id)

    def doubts(self, count: int) -> list[Doubt]:
        """The photos without an answer that the look is least certain about."""
        model = self.learn(self.look)
        ids, scores = self._candidates(model)
        rows = np.argsort(abs(scores - model.threshold), kind="stable")[:count]
        probabilities = model.probabilities(scores)
        return [
            Doubt(self.snapshot.record(int(ids[row])), float(probabilities[row])) for row in rows
        ]

    def expectation(self) -> Expectation:
        """What the look would do with the photos that have no answer."""
        model = self.learn(self.look)
        probabilities = model.probabilities(self._candidates(model)[1])
        sure = probabilities[probabilities >= SURE]
        examples = len(self._examples(True)) + len(self._examples(False))
        return Expectation(len(sure), float(1 - sure.mean()) if len(sure) else 0.0, examples)

    def _candidates(self, model: Model) -> tuple[Ids, Matrix]:
        """The photos with the highest scores that are neither pictures of the look nor answered:
        ids and scores, (n,).
        """
        length = float(np.linalg.norm(model.direction))
        direction = unit(model.direction[None].astype(np.float32))
        scores, ids = (part[0] for part in self.snapshot.search(direction, CANDIDATES, None))
        known = [id for id in map(self.snapshot.id_of, {*self._digests, *self.look.answers}) if id]
        free = (ids > 0) & ~np.isin(ids, np.array(known, np.uint64))
        return ids[free], scores[free].astype(np.float64) * length
