"""An export that is killed at any point leaves a usable encoder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mocosearch.encoder import Encoder
from mocosearch.encoder.recover import recover, recover_all
from mocosearch.errors import NotFound
from mocosearch.pretrained.importers import start_from

KILLED = """
import os, shutil, sys
from pathlib import Path
from mocosearch.encoder import export
from mocosearch.encoder.card import Card
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS

source, folder, kill_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
export.save_graph = lambda model, part: [
    shutil.copy(source / name, part / name) for name in (GRAPH, WEIGHTS)
]
export._graph = lambda descriptor, side: None
export._save_weights = lambda backbone, part: None
rename, renames = Path.rename, 0

def killed(path, target):
    global renames
    if renames == kill_at:
        os.kill(os.getpid(), 9)
    renames += 1
    return rename(path, target)

Path.rename = killed
export.export(None, None, Card.from_json((source / CARD).read_bytes()), folder)
"""


def export_killed_at(rename: int, source: Path, folder: Path) -> None:
    """Replace the encoder in `folder`; the process is killed before its n-th rename."""
    run = [sys.executable, "-c", KILLED, str(source), str(folder), str(rename)]
    result = subprocess.run(run, cwd=Path(__file__).parents[3])
    assert result.returncode == -9


@pytest.fixture
def folder(encoder_folder: Path, home: Path) -> Path:
    """An encoder of the home, under a name with dots and a bracket."""
    return shutil.copytree(encoder_folder, home / "encoders" / "my.[old]")


@pytest.mark.parametrize("rename", [0, 1])
def test_a_killed_export_leaves_the_previous_encoder(
    encoder_folder: Path, folder: Path, rename: int
) -> None:
    before = (folder / "card.json").read_bytes()
    export_killed_at(rename, encoder_folder, folder)
    assert folder.exists() == (rename == 0)
    encoder = Encoder.open("my.[old]")
    assert (folder / "card.json").read_bytes() == before
    side = encoder.side
    assert np.isfinite(encoder.encode(np.zeros((1, side, side, 3), np.uint8))).all()


def test_the_hidden_encoder_is_restored_for_lists_and_for_training(
    encoder_folder: Path, folder: Path, home: Path
) -> None:
    export_killed_at(1, encoder_folder, folder)
    recover_all(home / "encoders")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    export_killed_at(1, encoder_folder, folder)
    assert start_from(folder.name).origin == Encoder.open(folder).fingerprint


def test_an_encoder_in_its_place_is_never_replaced(encoder_folder: Path, folder: Path) -> None:
    old = folder.parent / f".{folder.name}.99999999.old"
    shutil.copytree(encoder_folder, old)
    (old / "card.json").write_text("old")
    recover(folder)
    assert Encoder.open(folder)
    assert old.exists()


def test_a_running_export_is_given_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may look between the two renames, when the folder is absent."""
    old = folder.rename(folder.parent / f".{folder.name}.{os.getpid()}.old")
    polls = []

    def finish(seconds: float) -> None:
        polls.append(seconds)
        shutil.copytree(old, folder)

    monkeypatch.setattr("mocosearch.encoder.recover.time.sleep", finish)
    recover(folder)
    assert len(polls) == 1
    assert folder.exists()
    assert old.exists()


def test_other_hidden_folders_are_ignored(home: Path) -> None:
    encoders = home / "encoders"
    for name in (".trash", ".a.old", ".a.x.old", ".a.1.part", "a.1.old"):
        (encoders / name).mkdir(parents=True)
    recover_all(encoders)
    assert len(list(encoders.iterdir())) == 5
    with pytest.raises(NotFound):
        Encoder.open("a")
    recover_all(home / "nowhere")
