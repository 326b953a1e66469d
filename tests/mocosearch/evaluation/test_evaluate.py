"""The evaluation of keys, with labels and by altered photos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mocosearch.encoder import Encoder
from mocosearch.errors import NoPhotos
from mocosearch.evaluation import evaluate
from mocosearch.evaluation.alterations import alter
from mocosearch.evaluation.evaluate import evaluate_alterations, evaluate_labels

Collection = tuple[np.ndarray, list[str]]


@pytest.fixture
def collection(encoder: Encoder, fill: Callable[..., list[Path]], tmp_path: Path) -> Collection:
    """Keys and paths of 12 pictures; the first file is removed after its key was computed."""
    paths = [str(path) for path in fill(tmp_path / "photos", range(12))]
    side = (encoder.side, encoder.side)
    pixels = np.stack([np.asarray(Image.open(path).resize(side)) for path in paths])
    Path(paths[0]).unlink()
    return encoder.encode(pixels), paths


def test_altered_photos_are_queries_for_their_originals(
    encoder: Encoder, collection: Collection
) -> None:
    keys, paths = collection
    reports: list[tuple[int, int]] = []
    result = evaluate_alterations(
        encoder, keys, paths.__getitem__, lambda photos, total: reports.append((photos, total))
    )
    assert result.figures.keys() == {
        *("photos", "queries", "crop", "colours", "blur", "effective rank")
    }
    assert (result.figures["photos"], result.figures["queries"], result.photos) == (12, 11, 11)
    assert result.figures["blur"] > 0.8
    assert reports == [(n, 12) for n in range(1, 12)]
    assert all("mean" in metrics for metrics in result.baselines.values())
    assert "On the same 11 photos" in result.summary


def test_labelled_photos_are_queries_for_their_label(
    encoder: Encoder, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, paths = collection
    monkeypatch.setattr(evaluate, "LABELLED", 4)
    rows: list[int] = []

    def path_of(row: int) -> str:
        rows.append(row)
        return paths[row]

    result = evaluate_labels(encoder, np.repeat(keys[:6], 2, 0), [*"aaaaaabbbbbb"], path_of)
    assert result.figures["p@1"] == 1
    assert result.figures["recall@1"] == pytest.approx(1 / 5)
    assert result.figures["recall@100"] == 1
    assert (result.figures["labels"], result.photos) == (2, 4)
    # Only the photos of the comparison are read.
    assert len(rows) <= 5
    assert "100% of the time" in result.summary


def test_too_few_readable_photos(encoder: Encoder) -> None:
    with pytest.raises(NoPhotos):
        evaluate_alterations(encoder, np.eye(3, 8, dtype=np.float32), lambda row: "/absent.jpg")


def test_alterations_change_a_picture_and_keep_small_ones_valid(
    picture: Callable[..., Image.Image],
) -> None:
    for size in ((72, 56), (1, 1), (3, 200)):
        original = picture(1).resize(size)
        for altered in alter([original]).values():
            assert min(altered[0].size) >= 1
            assert altered[0].mode == "RGB"
    names = {name: pictures[0].tobytes() for name, pictures in alter([picture(1)]).items()}
    assert len({*names.values(), picture(1).tobytes()}) == 4
