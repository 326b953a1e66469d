"""A search-only installation: torch and torchvision cannot be imported."""

import json
from pathlib import Path

import pytest
from onnx_networks import Graph
from program import Run

ABSENT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def ready_home(trained_home: Path) -> Path:
    """Evaluated beside an untrained network, where that can be computed."""
    return trained_home


@pytest.fixture(autouse=True)
def no_torch(ready_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python process of a test runs without torch; `ready_home` has been trained before."""
    (tmp_path / "sitecustomize.py").write_text(ABSENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_commands_that_need_torch_say_what_to_install(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "weights.pth").write_bytes(b"")
    for command in (
        ("train", photos, "--name", "other"),
        ("encoders", "add", "moco-v2-800ep"),
        ("encoders", "add", tmp_path / "weights.pth"),
    ):
        result = run(*command)
        assert result.returncode == 1
        assert result.stdout == ""
        error, hint = result.stderr.splitlines()
        assert error == "error: this needs PyTorch, which is not installed"
        assert hint.startswith("next:  pip install torch torchvision")


def test_evaluate_leaves_out_the_untrained_network(run: Run) -> None:
    result = run("evaluate", "--json")
    assert result.returncode == 0, result.stderr
    assert "PyTorch is not installed: the untrained network is left out" in result.stderr
    baselines = json.loads(result.stdout)["baselines"]
    assert baselines.keys() == {"photos", "encoder", "8x8 thumbnails"}


def test_index_and_query_work(run: Run, photos: Path, tmp_path: Path) -> None:
    photo = next(photos.rglob("*.jpg"))
    index = tmp_path / "index"
    result = run("index", photos, "--index", index, "--encoder", "starter")
    assert result.returncode == 0, result.stderr
    answer = run("query", photo, "--index", index, "--json")
    assert json.loads(answer.stdout)["results"][0]["path"] == str(photo)


def test_a_network_from_an_onnx_file_indexes_and_answers(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    file = Graph().patches().save(tmp_path / "net.onnx")
    home = tmp_path / "home"
    addition = run("encoders", "add", file, home=home)
    assert addition.returncode == 0, addition.stderr
    file.unlink()
    result = run("index", photos, "--encoder", "net", home=home)
    assert result.returncode == 0, result.stderr
    photo = next(photos.rglob("*.jpg"))
    answer = run("query", photo, "--json", home=home)
    assert json.loads(answer.stdout)["results"][0]["path"] == str(photo)
