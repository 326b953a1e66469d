from pathlib import Path

from program import Run


def answers(stdout: str) -> list[list[str]]:
    """The paths of each answer; every answer begins with rank 1."""
    found: list[list[str]] = []
    for line in stdout.splitlines():
        rank, _, path = line.split(maxsplit=2)
        if rank == "1":
            found.append([])
        found[-1].append(path)
    return found


def test_results_are_asked_on(run: Run, photos: Path) -> None:
    first, other = photos / "other" / "photo 00.jpg", photos / "2024" / "may" / "photo 03.jpg"
    lines = [
        f"'{other}'",
        "2",
        "+1 -3",
        "back",
        "more",
        "77",
        "no such file",
        "--5",
        "+-3",
        f"{other}:-1",
        "",
        "not read",
    ]
    told = run("query", first, "-i", "-k", 4, input="\n".join(lines))
    assert told.returncode == 0
    given = answers(told.stdout)
    assert [len(answer) for answer in given] == [4, 4, 4, 4, 4, 8]
    assert given[0][0] == str(first)
    assert given[1][0] == str(other)
    assert given[2][0] == given[1][1]
    assert given[4] == given[2]
    assert given[5][:4] == given[2]
    assert "results 1 to 8" in told.stderr
    assert "cannot read no such file" in told.stderr
    assert "cannot read --5" in told.stderr
    assert "must be a number above 0" in told.stderr


def test_it_begins_without_an_image_and_ends_with_its_input(run: Run) -> None:
    told = run("query", "--interactive", input="3\nback\n?\n")
    assert (told.returncode, told.stdout) == (0, "")
    assert told.stderr.count("ask with a picture first") == 2
    assert "more like results" in told.stderr
