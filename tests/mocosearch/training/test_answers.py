"""Training from a person's answers: triples, held-out answers, and which network is exported."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mocosearch import train
from mocosearch.errors import Unsuitable
from mocosearch.moco.backbones import Backbone
from mocosearch.training import run as training
from mocosearch.training.answers import Answers, HeldOut, lessons, share_right
from mocosearch.training.recipes import SMALL, fit_to
from mocosearch.training.state import Training

TINY = replace(SMALL, size=32, cache_side=32, encode_side=32, batch=8, K=16, dimension=16)
PLAIN = replace(TINY, views=replace(SMALL.views, scale=(0.9, 1.0), jitter=0, grey=0, blur=0))
PATHS = [f"/photos/{number}.jpg" for number in range(60)]
ALONE = np.arange(60)


def photos(*rows: int) -> list[list[str]]:
    """Each with a second path that the run does not have."""
    return [["/elsewhere/copy.jpg", PATHS[row]] for row in rows]


@given(st.integers(9, 15), st.integers(6, 15), st.integers(0, 99))
def test_held_out_answers_are_in_no_triple(wanted: int, unwanted: int, seed: int) -> None:
    yes, no = range(wanted), range(20, 20 + unwanted)
    result = lessons(Answers([(photos(*yes), photos(*no))]), PATHS, ALONE, seed)
    ((trained, held_yes, held_no),) = result.held_out.looks
    assert len(held_yes) == wanted // 3
    assert len(held_no) == unwanted // 3
    anchors, positives, negatives = (set(column.tolist()) for column in result.triples.T)
    assert anchors == positives == set(trained.tolist()) == set(yes) - set(held_yes.tolist())
    assert negatives == set(no) - set(held_no.tolist())
    # Photos of one search are not negatives of each other; all others still are.
    assert len(set(result.groups[trained].tolist())) == 1
    assert len(set(result.groups.tolist())) == 60 - len(trained) + 1


def test_photos_that_are_not_copies_are_certain_negatives() -> None:
    result = lessons(Answers([], [photos(*range(6))]), PATHS, ALONE, 0)
    held = {tuple(pair) for pair in result.held_out.pairs.tolist()}
    pairs = {(min(a, n), max(a, n)) for a, _, n in result.triples.tolist()}
    assert len(held) == 5
    assert held | pairs == {(a, b) for a in range(6) for b in range(a + 1, 6)}
    assert not held & pairs
    assert all(a == p for a, p, _ in result.triples.tolist())
    assert (result.groups == ALONE).all()


def test_bursts_of_a_search_are_joined() -> None:
    bursts = ALONE // 2
    result = lessons(
        Answers([(photos(*range(0, 20, 2)), photos(*range(40, 50)))]), PATHS, bursts, 0
    )
    ((trained, _, _),) = result.held_out.looks
    assert len({result.groups[row + one] for row in trained.tolist() for one in (0, 1)}) == 1


@pytest.mark.parametrize(
    "answers",
    [
        Answers(),
        Answers([(photos(1, 2, 3), photos(4, 5, 6))]),
        Answers([([["/gone.jpg"]] * 30, photos(*range(30)))]),
    ],
)
def test_too_few_answers_are_an_error(answers: Answers) -> None:
    with pytest.raises(Unsuitable, match="at least 5 are needed") as error:
        lessons(answers, PATHS, ALONE, 0)
    assert "look teach" in error.value.hint


def test_share_right_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(1)
    torch.manual_seed(0)
    backbone = Backbone("resnet10")
    pictures = random.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    pictures[31] = pictures[30]
    rows = np.arange(40)
    looks = [(rows[:6], rows[6:10], rows[10:15]), (rows[12:16], rows[16:20], rows[20:22])]
    held = HeldOut(looks, np.array([[30, 31], [32, 33]]))
    share = share_right(backbone, pictures, held, pictures[held.rows])
    # The same with one comparison at a time.
    parts = [
        HeldOut([(yes, held_yes[[i]], held_no[[j]])], np.empty((0, 2), np.int64))
        for yes, held_yes, held_no in looks
        for i in range(len(held_yes))
        for j in range(len(held_no))
    ]
    right = [share_right(backbone, pictures, one, pictures[one.rows]) for one in parts]
    assert set(right) <= {0.0, 1.0}
    # Equal pictures are called copies, and noise is not.
    assert share == pytest.approx((sum(right) + 1) / (len(right) + 2))


def test_steps_bring_positives_closer_than_negatives() -> None:
    """Plain pictures of random colours, of which the answers say which belong together."""
    colours = np.random.default_rng(3).integers(0, 256, (12, 1, 1, 3), dtype=np.uint8)
    pixels = np.broadcast_to(colours, (12, 32, 32, 3)).copy()
    groups = np.array([0, 0, 0, 0, *range(1, 9)])
    triples = np.array([(a, p, n) for a in range(4) for p in range(4) for n in range(6, 9)])
    margins = []
    for answers in (None, triples):
        torch.manual_seed(0)
        run = Training(Backbone("resnet10"), pixels, fit_to(PLAIN, 12), 0, groups, triples=answers)
        for number in range(30):
            assert torch.isfinite(run.step(number / 30))
        run.model.eval()
        with torch.no_grad():
            views = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            keys = run.model.queries(views)
        cosines = keys @ keys.T
        margins.append(float(cosines[:4, :4].mean() - cosines[:4, 6:9].mean()))
    assert margins[1] > margins[0] + 0.1


@pytest.mark.usefixtures("light_graph", "constant_recall")
@pytest.mark.parametrize("gain", [0.1, 0.0])
def test_the_network_is_exported_if_more_held_out_answers_are_right(
    fill, tmp_path, monkeypatch, gain
):
    files = fill(tmp_path / "photos", range(24))
    paths = [[str(file)] for file in files]
    shares = iter([0.5, 0.5 + gain])
    monkeypatch.setattr(training, "share_right", lambda *_: next(shares))
    result = train(
        [tmp_path / "photos"],
        tmp_path / "enc",
        architecture="resnet10",
        size=32,
        batch=8,
        epochs=1,
        answers=Answers([(paths[:9], paths[9:18])]),
    )
    assert (result.card.epochs > 0) == (gain > 0)
    assert result.card.quality["answers_before"] == 0.5
    assert result.card.quality["answers"] == 0.5 + gain
    assert any("held out" in line for line in result.warnings) == (gain == 0)


@pytest.mark.usefixtures("light_graph", "constant_recall")
def test_a_resumed_run_has_the_same_answers(fill, tmp_path, monkeypatch):
    files = fill(tmp_path / "photos", range(24))
    paths = [[str(file)] for file in files]
    drawn = []

    def record(self, triples):
        drawn.append(triples.tolist())
        return torch.zeros(())

    monkeypatch.setattr(Training, "_answer_loss", record)
    options = {"architecture": "resnet10", "size": 32, "batch": 8, "epochs": 3}
    polls = []

    def stopped() -> bool:
        polls.append(bool(drawn))
        return sum(polls) > 2

    answers = Answers([(paths[:9], paths[9:18])])
    train([tmp_path / "photos"], tmp_path / "e", answers=answers, stopped=stopped, **options)
    before = len(drawn)
    train([tmp_path / "photos"], tmp_path / "e", resume=True)
    assert 0 < before < len(drawn) == 9
    assert all(triples == drawn[0] for triples in drawn)
