import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from mocosearch import Encoder, train
from mocosearch.encoder import Card
from mocosearch.encoder.refit import whitening_of
from mocosearch.errors import NoPhotos, NotFound, Unsuitable
from mocosearch.home import STARTER
from mocosearch.moco.inference import encoding_cost
from mocosearch.photos import decode
from mocosearch.training import collection
from mocosearch.training import run as training
from mocosearch.training.recipes import SMALL, fit_to
from mocosearch.training.selection import ViewRetrieval

TINY = {"architecture": "resnet10", "size": 32}


def retrieval(recall: float, photos: np.ndarray) -> ViewRetrieval:
    return ViewRetrieval(recall, np.eye(len(photos), 8, dtype=np.float32))


@pytest.fixture
def no_export(monkeypatch) -> list[tuple[object, ...]]:
    """Records the arguments of exports instead of writing encoders, which takes seconds."""
    exports: list[tuple[object, ...]] = []

    def write(backbone, sample, card, folder, page=None, prior=None, start=None):
        exports.append((backbone, np.array(sample), card, folder, prior))
        return card

    monkeypatch.setattr(training, "write_encoder", write)
    monkeypatch.setattr(training, "view_retrieval", lambda backbone, photos: retrieval(0.5, photos))
    return exports


@pytest.fixture(scope="module")
def run(tmp_path_factory, fill):
    """A run of one epoch on 40 pictures, a broken one and a text file."""
    base = tmp_path_factory.mktemp("train")
    files = fill(base / "photos", range(40))
    (base / "photos" / "broken.jpg").write_bytes(files[0].read_bytes()[:200])
    (base / "photos" / "notes.txt").write_text("no picture")
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (base / "photos").iterdir()}
    reports: list[training.Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOSEARCH_HOME", str(base / "home"))
        result = train(
            [base / "photos"], base / "enc", **TINY, batch=16, epochs=1, report=reports.append
        )
    return base, result, reports, before


def test_a_run_ends_with_an_encoder(run):
    base, result, _, _ = run
    encoder = Encoder.open(base / "enc")
    assert result.folder == base / "enc"
    assert encoder.card == Card.from_json(result.card.to_json())
    assert encoder.encode(np.zeros((2, encoder.side, encoder.side, 3), np.uint8)).shape == (2, 256)


def test_the_report_shows_nearest_photos_before_and_after(run):
    _, result, _, _ = run
    page = (result.folder / "report.html").read_text()
    assert page.count("<tr><td class=query>") == 10
    assert page.count("data:image/jpeg;base64,") == 10 * (1 + 5 + 5)
    assert "<polyline points=" in page
    assert "http" not in page
    assert f"{result.card.photos} photos" in page


def test_the_card_has_the_runs_figures(run):
    card = run[1].card
    assert card.photos == 40
    assert card.epochs == (
        0 if any("the starting network is exported" in s for s in run[1].warnings) else 1
    )
    assert card.architecture == "resnet10"
    assert (card.side, card.dimension) == (80, 256)
    assert card.recipe["name"] == "small"
    assert card.recipe["batch"] == 16
    assert card.recipe["K"] == 20
    assert card.seconds > 0


def test_a_broken_photo_is_skipped_and_a_text_file_ignored(run):
    base, result, _, _ = run
    assert list(result.skipped) == [str(base / "photos" / "broken.jpg")]
    assert not result.interrupted
    assert "41 picture files" in result.reason


def test_photos_are_read_only(run):
    base, _, _, before = run
    after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (base / "photos").iterdir()}
    assert after == before


def test_progress_reports_all_stages_in_order(run):
    reports = run[2]
    stages = [p.stage for p in reports]
    assert stages == sorted(stages, key=["recipe", "photos", "sample", "train", "encoder"].index)
    assert reports[0].message.startswith(f"recipe small: {run[1].reason}; ")
    assert max(p.done for p in reports if p.stage == "photos") == 42
    assert [p.done for p in reports if p.stage == "sample"] == list(range(1, 41))
    assert all(0 <= p.done <= p.total for p in reports)


def test_training_changes_the_network_and_zero_epochs_do_not(no_export, fill, tmp_path):
    fill(tmp_path / "photos", range(8))
    for epochs in (0, 0, 2):
        train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=epochs)
    one, same, learned = (w[0].state_dict()["net.layer4.0.conv1.weight"] for w in no_export)
    assert (one == same).all()
    assert (one != learned).any()


def test_a_network_worse_than_its_start_is_not_exported(no_export, fill, tmp_path, monkeypatch):
    folder = fill(tmp_path / "p", range(12))[0].parent
    train([folder], tmp_path / "e", **TINY, epochs=0)
    for after, survivor in ((0.4, "start"), (0.6, "learned")):
        scores = iter([0.5, after])
        monkeypatch.setattr(
            training, "view_retrieval", lambda _, photos, s=scores: retrieval(next(s), photos)
        )
        result = train([folder], tmp_path / "e", **TINY, batch=12, epochs=2)
        start, exported_state = no_export[0][0].state_dict(), no_export[-1][0].state_dict()
        same = all(torch.equal(start[name], exported_state[name]) for name in start)
        assert same == (survivor == "start")
        assert any("the starting network is exported" in sign for sign in result.warnings) == same
        card = no_export[-1][2]
        assert card.quality == {"view_recall": max(after, 0.5), "view_recall_before": 0.5}
        assert card.epochs == (0 if same else 2)
        assert card.corpus.endswith("for the whitening alone") == same


def test_few_photos_use_the_starts_whitening_as_prior(no_export, fill, tmp_path, monkeypatch):
    """Except if the start's whitening was fitted at another side."""
    folder = fill(tmp_path / "photos", range(12))[0].parent
    train([folder], tmp_path / "enc", epochs=0)
    train([folder], tmp_path / "enc", epochs=0, **TINY)
    train([folder], tmp_path / "enc", epochs=0, init="none")
    monkeypatch.setattr(training, "FEW", 12)
    train([folder], tmp_path / "enc", epochs=0)
    with_prior = [exports[-1] is not None for exports in no_export]
    assert with_prior == [True, False, False, False]
    assert len(no_export[0][-1].centre) == len(whitening_of(Encoder.open(STARTER)).centre)


def test_the_network_depends_on_the_seed(no_export, fill, tmp_path):
    fill(tmp_path / "photos", range(12))
    for seed in (1, 1, 2):
        train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=2, seed=seed)
    one, same, other = (w[0].state_dict() for w in no_export)
    assert all((one[name] == same[name]).all() for name in one)
    assert (one["net.layer4.0.conv1.weight"] != other["net.layer4.0.conv1.weight"]).any()


@pytest.mark.usefixtures("light_graph")
def test_same_seed_same_fingerprint(fill, tmp_path):
    fill(tmp_path / "photos", range(8))
    prints = {
        train([tmp_path / "photos"], tmp_path / f"enc{i}", **TINY, epochs=1).card.fingerprint
        for i in range(2)
    }
    assert len(prints) == 1


def test_stopping_exports_the_network(fill, tmp_path):
    fill(tmp_path / "photos", range(8))
    started, polls = [], []

    def report(progress: training.Progress) -> None:
        if progress.stage == "sample" and progress.done == 8:
            started.append(True)

    def stopped() -> bool:
        polls.extend(started[:1])
        return len(polls) > 3

    result = train(
        [tmp_path / "photos"],
        tmp_path / "enc",
        **TINY,
        init="none",
        epochs=500,
        report=report,
        stopped=stopped,
    )
    assert result.interrupted
    assert result.card.epochs == 3
    encoder = Encoder.open(tmp_path / "enc")
    assert np.isfinite(encoder.encode(np.zeros((1, 80, 80, 3), np.uint8))).all()


@pytest.mark.parametrize("stage", ["photos", "sample"])
def test_stopping_before_training_writes_nothing(fill, tmp_path, stage):
    fill(tmp_path / "photos", range(4))
    reports: list[training.Progress] = []

    def stopped() -> bool:
        return bool(reports) and reports[-1].stage == stage

    with pytest.raises(KeyboardInterrupt):
        train(
            [tmp_path / "photos"], tmp_path / "enc", **TINY, stopped=stopped, report=reports.append
        )
    assert len([p for p in reports if p.stage == stage]) == 1
    assert not (tmp_path / "enc").exists()


def test_stopping_during_the_export_has_no_effect(no_export, fill, tmp_path):
    fill(tmp_path / "photos", range(4))
    reports: list[training.Progress] = []
    result = train(
        [tmp_path / "photos"],
        tmp_path / "enc",
        **TINY,
        epochs=1,
        report=reports.append,
        stopped=lambda: reports[-1].stage == "encoder",
    )
    assert len(no_export) == 1
    assert not result.interrupted
    assert not list(tmp_path.glob(".*"))


def test_a_time_limit_ends_the_run(no_export, fill, tmp_path):
    fill(tmp_path / "photos", range(8))
    start = time.monotonic()
    result = train([tmp_path / "photos"], tmp_path / "enc", **TINY, seconds=10)
    assert time.monotonic() - start < 60
    assert not result.interrupted


def test_too_little_time_still_exports_an_encoder(no_export, fill, tmp_path):
    fill(tmp_path / "photos", range(4))
    result = train([tmp_path / "photos"], tmp_path / "enc", **TINY, seconds=0.001)
    assert no_export[0][2].epochs == 0
    assert "the time was too short for one training step; give it more" in result.warnings


def test_the_schedule_starts_with_the_first_step(no_export, fill, tmp_path, monkeypatch):
    """And ends so that the export, here of 20 s, is within the time limit."""
    fill(tmp_path / "photos", range(4))
    monkeypatch.setattr(training, "export_seconds", lambda *about: 20.0)
    decode, times, budgets = collection.pixel_cache, [], []

    def record_decode(*words, **options):
        cache = decode(*words, **options)
        times.append(time.monotonic())
        return cache

    monkeypatch.setattr(collection, "pixel_cache", record_decode)
    monkeypatch.setattr(training, "learn", lambda _, budget, *others: budgets.append(budget))
    start = time.monotonic()
    train([tmp_path / "photos"], tmp_path / "enc", **TINY, seconds=600)
    (budget,) = budgets
    assert budget.start >= max(times)
    end = budget.start + budget.seconds
    assert end <= time.monotonic() + 600 - 20
    assert start + 600 - 20 - (time.monotonic() - start) <= end


def test_unreadable_folders_are_reported(no_export, fill, tmp_path, locked):
    fill(tmp_path / "photos", range(2))
    fill(tmp_path / "photos" / "locked", range(2, 4))
    result = train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=0)
    assert result.unreadable == [str(tmp_path / "photos" / "locked")]
    assert result.card.photos == 2


def test_both_caches_respect_the_limit(no_export, fill, tmp_path, home):
    fill(tmp_path / "photos", range(8))
    train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=0)
    stored = sum(file.stat().st_size for file in (home / "cache").glob("*.u8"))
    train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=0, cache_bytes=stored)
    shutil.rmtree(home / "cache")
    with pytest.raises(
        Unsuitable, match=r"decoded photos take 0\.0 GB, --cache-size allows 0\.0"
    ) as caught:
        train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=0, cache_bytes=stored - 1)
    assert "--cache-size 1G" in caught.value.hint
    assert not (home / "cache").exists()


def test_a_single_path_is_a_list_of_one(no_export, fill, tmp_path, monkeypatch):
    fill(tmp_path / "photos", range(4))
    monkeypatch.chdir(tmp_path)
    for photos in ("photos", tmp_path / "photos", (p for p in ["photos"])):
        result = train(photos, str(tmp_path / "enc"), **TINY, epochs=0)
        assert result.card.photos == 4
        assert result.folder == tmp_path / "enc"


def test_the_encoding_size_and_its_cost_are_reported_before_anything_is_decoded(
    no_export, fill, tmp_path
):
    fill(tmp_path / "photos", range(2))
    reports: list[training.Progress] = []
    train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=0, report=reports.append)
    gflops = encoding_cost("resnet10", 80).flops / 1e9
    assert reports[0].stage == "recipe"
    assert f"photos are encoded at 80 pixels, {gflops:.1f} GFLOPs each" in reports[0].message


@pytest.mark.parametrize("n", [2, 3, 5, 7, 9])
def test_a_few_photos_are_enough(no_export, fill, tmp_path, n):
    fill(tmp_path / "photos", range(n))
    train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=2)
    assert no_export[0][2].photos == n


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_the_papers_recipes_run_on_few_photos(no_export, fill, tmp_path, name):
    fill(tmp_path / "photos", range(7))
    train([tmp_path / "photos"], tmp_path / "enc", recipe=name, **TINY, epochs=1)
    assert no_export[0][2].recipe["name"] == name


@pytest.mark.slow
def test_a_vit_trains_with_v3(fill, tmp_path):
    fill(tmp_path / "photos", range(6))
    how = {"recipe": "v3", "architecture": "vit_small", "size": 32, "epochs": 1}
    card = train([tmp_path / "photos"], tmp_path / "enc", **how).card
    assert (card.recipe["optimizer"], card.epochs) == ("adamw", 1)
    # As one operation, attention does not store the scores of all pairs of tokens.
    graph = (tmp_path / "enc" / "encoder.xml").read_text()
    assert graph.count('type="ScaledDotProductAttention"') == 12
    encoder = Encoder.open(tmp_path / "enc")
    keys = encoder.encode(np.zeros((1, encoder.side, encoder.side, 3), np.uint8))
    assert np.isfinite(keys).all()


def test_a_custom_recipe(no_export, fill, tmp_path):
    fill(tmp_path / "photos", range(4))
    result = train([tmp_path / "photos"], tmp_path / "enc", recipe=SMALL, **TINY, epochs=1)
    assert result.reason == "given"
    assert no_export[0][2].recipe["K"] == fit_to(SMALL, 4).K


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_photos(fill, tmp_path, n):
    fill(tmp_path / "photos", range(n))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (tmp_path / "photos" / "notes.txt").write_text("words")
    with pytest.raises(NoPhotos, match=f"{n} readable photos"):
        train([tmp_path / "photos"], tmp_path / "enc", **TINY)
    assert not (tmp_path / "enc").exists()


def test_the_whitening_sample_contains_photos_only(no_export, fill, tmp_path, monkeypatch):
    monkeypatch.setattr(collection, "WHITENING_PHOTOS", 6)
    fill(tmp_path / "photos", range(6))
    for i in range(60):
        (tmp_path / "photos" / f"{i}.txt").write_text(str(i))
    train([tmp_path / "photos"], tmp_path / "enc", **TINY, epochs=0)
    assert no_export[0][1].shape == (6, 80, 80, 3)


def test_missing_folder(tmp_path):
    with pytest.raises(NotFound):
        train([tmp_path / "nowhere"], tmp_path / "enc")


@pytest.mark.parametrize("wrong", [{"recipe": "v9"}, {"architecture": "vgg"}])
def test_unknown_recipe_and_architecture(fill, tmp_path, wrong):
    fill(tmp_path / "photos", range(2))
    with pytest.raises(Unsuitable):
        train([tmp_path / "photos"], tmp_path / "enc", **wrong)


@pytest.mark.usefixtures("light_graph")
def test_a_learned_projection_brings_neighbours_closer(fill, tmp_path):
    """Here without an earlier whitening, and otherwise the same encoder."""
    folder = fill(tmp_path / "photos", range(40))[0].parent
    recipe = replace(SMALL, size=32, cache_side=40, encode_side=48)
    closeness = []
    for learned in (False, True):
        how = {"recipe": replace(recipe, learned_projection=learned), "init": "none", "epochs": 0}
        train([folder], tmp_path / "enc", **how)
        encoder = Encoder.open(tmp_path / "enc")
        pixels = np.stack([decode(file.read_bytes(), 48).pixels for file in folder.iterdir()])
        cosines = encoder.encode(pixels) @ encoder.encode(pixels).T
        closeness.append(np.sort(cosines, 1)[:, -4:-1].mean())
    assert closeness[1] > closeness[0] + 0.05
