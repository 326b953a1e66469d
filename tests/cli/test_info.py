import json
from pathlib import Path

from program import Run


def test_info_tells_what_is_there(run: Run, photos: Path) -> None:
    told = json.loads(run("info", "--json").stdout)
    assert told["images"] == 30
    assert told["refused"] == 0
    assert told["dimension"] == 256
    assert told["segments"] == 1
    assert told["bytes"] > 0
    assert told["roots"] == [str(photos)]
    assert "images" in run("info").stdout


def test_segments_are_told_in_words(run: Run) -> None:
    lines = dict(line.split(None, 1) for line in run("info").stdout.splitlines())
    assert lines["segments"] == f"{lines['keys']} SQfp16"
