"""Suggestions for mistyped names, and shell completion."""

import subprocess
from pathlib import Path

import pytest
from program import PROGRAM, Run, environment


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["qeury", "x.jpg"], "query"),
        (["encoders", "lst"], "list"),
        (["query", "x.jpg", "--tpo", "3"], "--top"),
        (["index", ".", "--exlude", "*.png"], "--exclude"),
        (["index", "--retri", "."], "--retry"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(
    run: Run, words: list[str], suggestion: str, tmp_path: Path
) -> None:
    outcome = run(*words, cwd=tmp_path)
    assert outcome.returncode == 2
    assert suggestion in outcome.stderr


@pytest.mark.parametrize("kind", ["encoders", "indexes"])
def test_a_mistyped_name_gets_a_suggestion(
    run: Run, tmp_path: Path, kind: str, photos: Path
) -> None:
    for name in ("holiday", "family"):
        (tmp_path / kind / name).mkdir(parents=True)
    words = {"encoders": ["index", photos, "--encoder"], "indexes": ["query", "x.jpg", "--index"]}
    outcome = run(*words[kind], "holyday", home=tmp_path)
    assert outcome.returncode == 1
    assert "did you mean holiday?" in outcome.stderr


@pytest.mark.parametrize(("line", "completion"), [("qu", "query"), ("query --prev", "--preview")])
def test_a_shell_completes_commands_and_options(line: str, completion: str, home: Path) -> None:
    words = f"mocosearch {line}"
    request = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    env = {**environment(home), **request, "_MOCOSEARCH_COMPLETE": "complete_bash"}
    outcome = subprocess.run([PROGRAM], env=env, capture_output=True, text=True)
    assert completion in outcome.stdout.split()


def test_completion_is_installed_by_one_command(home: Path, tmp_path: Path) -> None:
    env = {**environment(home), "HOME": str(tmp_path)}
    # The program looks for the shell that started it; the exit keeps bash running until then.
    line = ["bash", "-c", f"'{PROGRAM}' --install-completion; exit $?"]
    outcome = subprocess.run(line, env=env, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    assert "mocosearch" in (tmp_path / ".bashrc").read_text()
