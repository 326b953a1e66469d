import json
from pathlib import Path

import pytest
from PIL import Image
from program import Run

METHODS = {"encoder", "untrained network", "8x8 thumbnails"}


WHAT = ("keys", "last stage")


@pytest.fixture(scope="module")
def ready_home(trained_home: Path) -> Path:
    """Evaluated beside an untrained network of the same architecture."""
    return trained_home


def test_without_labels_altered_photos_retrieve_their_originals(run: Run, tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    figures = json.loads(run("evaluate", "--json", "--plot", plot).stdout)
    with Image.open(plot) as picture:
        assert picture.format == "PNG"
    baselines = figures["baselines"]
    assert baselines.pop("photos") == 30
    assert baselines.keys() == METHODS
    for method in METHODS:
        assert baselines[method].keys() == {"crop", "colours", "blur", "mean"}
        assert baselines[method]["blur"] > 0.9
    assert (figures["photos"], figures["queries"]) == (30, 30)
    assert figures["blur"] > 0.9
    assert 1 < figures["effective rank"] <= 30


def test_labels_from_a_manifest_and_from_folders(run: Run, photos: Path, tmp_path: Path) -> None:
    lines = [f"{path}\t{path.parent.name}" for path in sorted(photos.rglob("*.jpg"))]
    (tmp_path / "labels.tsv").write_text("\n".join([*lines, "absent.jpg\tmay"]))
    manifest = run("evaluate", "--manifest", tmp_path / "labels.tsv", "--json")
    folders = run("evaluate", "--classes", "--json")
    by_file, by_folder = json.loads(manifest.stdout), json.loads(folders.stdout)
    assert "1 of 31" in manifest.stderr
    for name in ("photos", "labels", "p@1", "p@10", "map", "recall@10"):
        assert by_file[name] == by_folder[name]
    assert (by_file["photos"], by_file["labels"]) == (30, 2)
    baselines = by_file["baselines"]
    assert baselines.pop("photos") == 30
    assert baselines.keys() == METHODS
    assert baselines == {method: by_folder["baselines"][method] for method in METHODS}
    # The index stores keys in 16 bits, and decodes photos at the encoder's side.
    assert baselines["encoder"]["p@1"] == pytest.approx(by_file["p@1"], abs=0.2)
    assert run("evaluate", "--manifest", tmp_path / "none.tsv").returncode == 1


def test_lists_of_encoders_and_indexes(run: Run, photos: Path, tmp_path: Path) -> None:
    encoders = json.loads(run("encoders", "list", "--json").stdout)["encoders"]
    assert encoders.keys() == {"default", "starter"}
    assert encoders["default"]["photos"] == 30
    (index,) = json.loads(run("indexes", "--json").stdout)["indexes"]
    assert (index["name"], index["images"], index["roots"]) == ("default", 30, [str(photos)])
    assert "default" in run("indexes").stdout
    assert "starter" in run("encoders", "list", home=tmp_path).stdout


def test_labels_are_predicted_by_knn_and_by_a_linear_classifier(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    words = ["evaluate", "--classes", "--knn", "--linear", "--labels", "10,50", "--json"]
    result = json.loads(run(*words).stdout)
    assert (result["photos"], result["labels"], result["predicted"]) == (30, 2, 30)
    figures = result["baselines"]
    assert figures.pop("photos") == 30
    networks = [f"{which}, {what}" for which in ("encoder", "untrained") for what in WHAT]
    assert set(figures) == {*networks, "8x8 thumbnails"}
    for shares in figures.values():
        assert list(shares) == ["kNN", "linear 10%", "linear 50%"]
        assert all(0 <= share <= 1 for share in shares.values())
    test = tmp_path / "test.tsv"
    files = (photos / "other").iterdir()
    test.write_text("".join(f"{file}\t{file.parent.name}\n" for file in files))
    words = ["evaluate", "--classes", "--knn", "--test", test, "--json"]
    result = json.loads(run(*words).stdout)
    assert result["predicted"] == 10


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--knn"], "--classes or --manifest"),
        (["--classes", "--linear", "--labels", "100"], "--test FILE"),
        (["--classes", "--linear", "--labels", "ten"], "numbers with commas"),
        (["--classes", "--linear", "--labels", "0"], "above 0"),
        (["--classes", "--labels", "10"], "need --linear"),
        (["--classes", "--knn", "--labels", "10"], "needs --linear"),
    ],
)
def test_what_cannot_be_predicted(run: Run, words: list[str], hint: str) -> None:
    outcome = run("evaluate", *words)
    assert outcome.returncode == 2
    assert hint in " ".join(outcome.stderr.split())
