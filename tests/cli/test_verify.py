import json
import shutil
from pathlib import Path

from program import Run


def test_verify_compact_and_export(run: Run, ready_home: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    shutil.copytree(ready_home / "indexes" / "default", index)
    sound = run("verify", "--index", index, "--json")
    report = {"faults": [], "unchecked": [], "whole": True}
    assert (sound.returncode, json.loads(sound.stdout)) == (0, report)
    size = (index / "data.mdb").stat().st_size
    result = json.loads(run("compact", "--index", index, "--json").stdout)
    assert result["bytes"] == (index / "data.mdb").stat().st_size == size - result["saved"]
    assert run("verify", "--index", index, "--repair").returncode == 0
    exported = json.loads(run("export", tmp_path / "out", "--index", index, "--json").stdout)
    assert str(tmp_path / "out" / "keys.npy") in exported["files"]
    again = run("export", tmp_path / "out", "--index", index)
    assert (again.returncode, again.stdout) == (2, "")
    assert "not empty" in again.stderr


def test_damage_is_reported_and_ends_with_1(run: Run, ready_home: Path, tmp_path: Path) -> None:
    shutil.copytree(ready_home / "indexes" / "default", tmp_path / "index")
    with open(tmp_path / "index" / "data.mdb", "r+b") as data:
        size = data.seek(0, 2)
        data.truncate(size // 2)
    for command in (["verify"], ["verify", "--json"], ["info"], ["compact"]):
        outcome = run(*command, "--index", tmp_path / "index")
        assert outcome.returncode == 1
        assert "damaged" in outcome.stderr
        assert "Traceback" not in outcome.stderr
    assert run("verify", "--index", tmp_path / "nothing").returncode == 1
