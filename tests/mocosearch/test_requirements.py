"""A search-only installation, in which torch is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from mocosearch.errors import MissingPackage
from mocosearch.requirements import has_torch, require_torch

WITHOUT_TORCH = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
"""


def python_without_torch(program: str) -> str:
    run = [sys.executable, "-c", WITHOUT_TORCH + program]
    result = subprocess.run(run, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_torch_is_installed_here() -> None:
    assert has_torch()
    require_torch()


@pytest.mark.parametrize("name", ["torch", "torchvision"])
def test_either_package_is_required(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert not has_torch()
    with pytest.raises(MissingPackage, match="PyTorch") as caught:
        require_torch()
    assert "pip install torch torchvision" in caught.value.hint
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "statement",
    [
        "from mocosearch import train",
        "import mocosearch.training.checkpoint",
        "import mocosearch.moco.descriptor",
    ],
)
def test_importing_what_needs_torch_raises_missing_package(statement: str) -> None:
    program = f"""
from mocosearch.errors import MissingPackage
try:
    {statement}
except MissingPackage as error:
    print(error.hint)
"""
    assert "pip install torch torchvision" in python_without_torch(program)


def test_encoding_and_metrics_need_no_torch(encoder_folder: Path) -> None:
    program = f"""
import numpy as np
from PIL import Image
from mocosearch import Encoder
from mocosearch.evaluation import precision_at
from mocosearch.evaluation.baselines import methods
encoder = Encoder.open({str(encoder_folder)!r})
pictures = [Image.new("RGB", (80, 80), colour) for colour in ("red", "blue")]
for name, method in methods(encoder, pictures).items():
    print(name, method(pictures).shape[0])
"""
    assert python_without_torch(program) == "encoder 2\n8x8 thumbnails 2"
