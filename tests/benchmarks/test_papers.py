"""The alternatives to MoCo beside plain loops, and a benchmark that continues."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from benchmarks.papers.__main__ import main
from benchmarks.papers.curve import CurveSettings, curve
from benchmarks.papers.findings import FINDINGS
from benchmarks.papers.methods import EndToEnd, MemoryBank, Unshuffled
from benchmarks.papers.results import Results
from benchmarks.papers.rows import ROWS, start
from benchmarks.papers.scores import sgd_predictions

PIXELS = 3 * 4 * 4


def network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8), nn.BatchNorm1d(8))


def views(n: int) -> Tensor:
    return torch.rand(n, 3, 4, 4)


def info_nce(q: Tensor, positive: Tensor, negatives: list[Tensor], T: float) -> float:
    """Equation 1 for one query, written out."""
    logits = [float(q @ k) / T for k in (positive, *negatives)]
    return math.log(sum(math.exp(logit) for logit in logits)) - logits[0]


def test_end_to_end_keys_have_the_loss_of_a_plain_loop_and_a_gradient() -> None:
    torch.manual_seed(0)
    model = EndToEnd(network, 8, N=6, dim=5, T=0.2, mlp=True, splits=1)
    a, b = views(6), views(6).requires_grad_()
    loss = model(a, b, torch.arange(6))
    q, k = (F.normalize(model.encoder_q(v), dim=1).detach() for v in (a, b))
    others = [[k[j] for j in range(6) if j != i] for i in range(6)]
    expected = sum(info_nce(q[i], k[i], others[i], 0.2) for i in range(6)) / 6
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert b.grad is not None
    assert b.grad.abs().sum() > 0


def test_a_memory_bank_has_the_loss_and_the_update_of_a_plain_loop() -> None:
    torch.manual_seed(0)
    model = MemoryBank(network, 8, pictures=12, dim=5, K=9, T=0.2, mlp=False, splits=1)
    before, ids = model.bank.clone(), torch.tensor([3, 7, 0, 11])
    a = views(4)
    q = F.normalize(model.encoder_q(a), dim=1).detach()
    rows = torch.tensor([3, 1, 1, 7, 2, 5, 6, 8, 9])
    others = [[before[row] for row in rows if row != own] for own in ids]
    losses = [info_nce(q[i], before[own], others[i], 0.2) for i, own in enumerate(ids)]
    assert model.loss(q, ids, rows).item() == pytest.approx(sum(losses) / 4, rel=1e-4)

    model(a, views(4), ids).backward()
    for row in range(12):
        if row in ids:
            number = ids.tolist().index(row)
            mixed = (before[row] + q[number]) / 2
            assert torch.allclose(model.bank[row], mixed / mixed.norm(), atol=1e-5)
        else:
            assert torch.equal(model.bank[row], before[row])


def test_without_shuffling_a_key_depends_on_its_own_sub_batch_alone() -> None:
    torch.manual_seed(0)
    model = Unshuffled(network, 8, dim=5, K=16, splits=2)
    one = views(8)
    other = torch.cat([one[:4], views(4)])
    assert torch.equal(model.keys(one)[:4], model.keys(other)[:4])
    assert not torch.allclose(model.keys(one)[4:], model.keys(other)[4:])


def test_the_papers_linear_training_separates_what_is_separable() -> None:
    random = np.random.default_rng(0)
    keys = random.normal(size=(60, 4)).astype(np.float32) / 4
    labels = [str(number % 3) for number in range(60)]
    keys[np.arange(60), np.arange(60) % 3] += 2
    assert sgd_predictions(keys, labels, keys) == labels


def test_a_line_written_in_part_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "out" / "results.jsonl"
    Results(file).add({"row": "a", "seed": 0})
    with open(file, "a") as out:
        out.write('{"row": "b", "se')
    results = Results(file)
    results.add({"row": "c", "seed": 0})
    assert results.where(seed=0) == [{"row": "a", "seed": 0}, {"row": "c", "seed": 0}]
    assert Results(file).lines == results.lines


def test_every_finding_has_its_rows() -> None:
    assert {row for finding in FINDINGS.values() for row in finding.rows} == set(ROWS)
    for finding in FINDINGS.values():
        assert finding.theirs.keys() <= set(finding.rows)
        scores = dict.fromkeys(finding.rows, 0.5) | {"untrained": 0.2}
        assert finding.holds(scores) in (True, False)


@pytest.mark.parametrize(
    ("name", "learned"), [("v3 ViT", False), ("v3 ViT, learned patches", True)]
)
def test_the_patch_projection_is_learned_in_one_row_alone(name: str, learned: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    training = start(ROWS[name], pixels, 0)
    training.recipe = ROWS[name].recipe.with_changes(None, None, 8)
    weights = training.model.encoder_q[0].net.patch_embed["proj"].weight
    before = weights.detach().clone()
    training.step(0.5)
    assert torch.equal(weights, before) != learned


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two labels of different brightness, in the layout of the benchmark."""
    random = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 8)):
        for label, level in (("dark", 0), ("light", 150)):
            (tmp_path / "pictures" / part / label).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(level, level + 100, (32, 32, 3), dtype=np.uint8)
                file = tmp_path / "pictures" / part / label / f"{number:02}.png"
                Image.fromarray(pixels).save(file)
    return tmp_path / "pictures"


@pytest.mark.slow
def test_finished_rows_are_skipped(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["findings", str(folder), "--out", str(out), "--pairs", "128", "--jobs", "1"]
    main([*words, "--only", "shuffling"])
    first = (out / "findings.jsonl").read_text()
    assert [json.loads(line)["row"] for line in first.splitlines()] == ["base", "without shuffling"]
    printed = capsys.readouterr().out
    main([*words, "--only", "shuffling", "bank", "--minutes", "0"])
    assert (out / "findings.jsonl").read_text() == first
    conclusion = next(line for line in printed.splitlines() if line.startswith("shuffling: "))
    assert "appear" in conclusion
    again = capsys.readouterr().out.splitlines()
    assert again[-2:] == [conclusion, "bank: not all rows are done"]


@pytest.mark.slow
def test_a_curve_that_continues_is_that_of_one_run(folder: Path, tmp_path: Path) -> None:
    def lines_of(name: str, *epochs: int) -> list[dict[str, float]]:
        for last in epochs:
            settings = CurveSettings(60, last, width=4, batch=16, K=16)
            curve(folder, tmp_path / name, settings)
        return [
            {key: line[key] for key in ("epoch", "knn", "loss")}
            for line in Results(tmp_path / name / "cifar.jsonl").lines
        ]

    whole = lines_of("whole", 10)
    assert [line["epoch"] for line in whole] == [1, 10]
    assert lines_of("parts", 1, 10) == whole


@pytest.mark.slow
def test_a_curve_in_two_processes_has_one_result(folder: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    program = ["--nproc-per-node", "2", "-m", "benchmarks.papers", "cifar", str(folder)]
    small = ["--out", str(tmp_path), "--epochs", "1", "--width", "4", "--batch", "16", "--K", "16"]
    run = subprocess.run(
        [*torchrun, *program, *small], capture_output=True, text=True, timeout=240, check=True
    )
    assert run.stdout.count("Is it MoCo?") == run.stdout.count("Same settings") == 1
    assert "does not match" not in run.stderr
    lines = Results(tmp_path / "cifar.jsonl").lines
    assert [line["epoch"] for line in lines] == [1]
