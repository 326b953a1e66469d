from pathlib import Path

import pytest

from cli.question import ask
from cli.search import FileStat, search
from indexes import Index


@pytest.fixture(scope="module")
def index(many: Path):
    with Index.open(many) as opened:
        yield opened


def scores(found: FileStat) -> list[float]:
    return [line.match.score for line in found.lines]


def test_what_may_be_chance_comes_last(index: Index, photos: Path) -> None:
    parted = 0
    for photo in sorted((photos / "other").iterdir())[:5]:
        key = ask(index.encoder, [str(photo)]).keys
        found = search(index, key, 12)
        better, rest = scores(found)[: found.better], scores(found)[found.better :]
        assert len(found.lines) == 12
        assert min(better) > max(rest, default=-1.0)
        parted += bool(rest)
        assert scores(search(index, key, 12, only_better=True)) == better
    assert parted


def test_a_least_score_still_fills_the_places(index: Index, photos: Path) -> None:
    key = ask(index.encoder, [str(photos / "other" / "photo 00.jpg")]).keys
    everything = sorted(scores(search(index, key, 100)), reverse=True)
    found = search(index, key, 8, least=everything[9])
    assert len(found.lines) == 8
    assert min(scores(found)) >= everything[9]
