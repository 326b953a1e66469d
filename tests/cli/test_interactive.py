import os
import shutil
import signal
import subprocess
from pathlib import Path

from program import PROGRAM, Run, environment, make_photos
from screen import on_a_terminal


def answers(stdout: str) -> list[list[str]]:
    """The paths of each answer; every answer begins with rank 1."""
    paths: list[list[str]] = []
    for line in stdout.splitlines():
        rank, _, path = line.split(maxsplit=2)
        if rank == "1":
            paths.append([])
        paths[-1].append(path)
    return paths


def test_searches_continue_from_results(run: Run, photos: Path) -> None:
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
    process = run("query", first, "-i", "-k", 4, input="\n".join(lines))
    assert process.returncode == 0
    replies = answers(process.stdout)
    assert [len(answer) for answer in replies] == [4, 4, 4, 4, 4, 8]
    assert replies[0][0] == str(first)
    assert replies[1][0] == str(other)
    assert replies[2][0] == replies[1][1]
    assert replies[4] == replies[2]
    assert replies[5][:4] == replies[2]
    assert "results 1 to 8" in process.stderr
    assert "cannot read no such file" in process.stderr
    assert "cannot read --5" in process.stderr
    assert "must be a number above 0" in process.stderr


def test_lines_are_typed_at_a_prompt_and_edited(ready_home: Path, photos: Path) -> None:
    """The terminal shows what was typed: the table, the prompt, a line called back."""
    first, other = photos / "other" / "photo 00.jpg", photos / "2024" / "may" / "photo 03.jpg"
    # A deleted word, then a name; the arrow recalls the last line, which gets another end.
    lines = [f"wrong\x15'{other}'", "2", "+1", "\x1b[A -3", "q"]
    words = ["query", first, "-i", "-k", 3]
    shown = on_a_terminal(ready_home, *words, typed=lines, columns=200, NO_COLOR="").text
    answers = [part for part in shown.split("query> ") if "\x1b[34m" in part]
    assert len(answers) == 5
    assert [answer.count("\x1b[34m") for answer in answers] == [3] * 5
    assert str(first) in answers[0]
    assert str(other) in answers[1].partition("\n")[2].splitlines()[0]
    assert "cannot read" not in shown


def test_it_starts_without_an_image_and_ends_with_its_input(run: Run) -> None:
    process = run("query", "--interactive", input="3\nback\n?\n")
    assert (process.returncode, process.stdout) == (0, "")
    assert process.stderr.count("search with a picture first") == 2
    assert "more like results" in process.stderr


def test_quoted_names(run: Run, photos: Path, tmp_path: Path) -> None:
    for name in ("a (1).jpg", "it's.jpg", "back\\slash.jpg"):
        shutil.copy(photos / "other" / "photo 00.jpg", tmp_path / name)
    lines = [
        rf"{tmp_path}/a\ \(1\).jpg",
        f"'{tmp_path}/a (1).jpg'",
        f'"{tmp_path}/it\'s.jpg"',
        f"{tmp_path}/it's.jpg",
        rf"{tmp_path}/back\slash.jpg",
        rf"{tmp_path}/back\slash.jpg:2",
        rf"{tmp_path}/a\ \(1\).jpg:2",
    ]
    process = run("query", "-i", "-k", 1, input="\n".join(lines))
    assert process.stderr == ""
    assert len(answers(process.stdout)) == len(lines)


def test_images_that_cannot_be_used_are_reported(
    run: Run, ready_home: Path, photos: Path, tmp_path: Path
) -> None:
    make_photos(tmp_path / "mixed", 2)
    (tmp_path / "mixed" / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    good = os.fsencode(photos / "other" / "photo 00.jpg")
    lines = [b"caf\xe9.jpg", b"a\0b.jpg", b"-", b"-:2", os.fsencode(tmp_path / "mixed"), good]
    process = subprocess.run(
        [PROGRAM, "query", "-i", "-k", "1"],
        input=b"\n".join(lines) + b"\n",
        env={**environment(ready_home), "PYTHONUTF8": "1"},
        capture_output=True,
    )
    assert process.returncode == 0, process.stderr
    assert rb"cannot read caf\udce9.jpg" in process.stderr
    assert rb"cannot read a\x00b.jpg" in process.stderr
    assert process.stderr.count(b"- is not a file name here") == 2
    assert b"bad.jpg" in process.stderr
    assert len(process.stdout.splitlines()) == 2


def test_filters_that_leave_nothing(run: Run, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    process = run("query", "-i", "--min-side", 5000, input=f"{photo}\n")
    assert (process.returncode, process.stdout) == (0, "")
    assert "No photo matches" in process.stderr


def test_an_interrupt_ends_it(ready_home: Path, photos: Path) -> None:
    words = [PROGRAM, "query", "-i", "-k", "1", photos / "other" / "photo 00.jpg"]
    with subprocess.Popen(
        words,
        env=environment(ready_home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A background job ignores interrupts, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    ) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
