import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from program import PROGRAM, Run, command, environment, make_photos

ALLOWED_SECONDS = {"total", "encode", "search"}


def test_a_photo_of_the_collection_finds_itself_first(run: Run, photos: Path) -> None:
    for photo in sorted(photos.rglob("*.jpg"))[::7]:
        told = json.loads(run("query", photo, "--json").stdout)
        assert told["results"][0]["path"] == str(photo)
        assert told["results"][0]["score"] >= 0.98


def test_json_has_the_documented_form(run: Run, photos: Path) -> None:
    photo = str(photos / "other" / "photo 03.jpg")
    told = json.loads(run("query", photo, "-k", 4, "--json").stdout)
    assert told.keys() == {"query", "index", "results", "seconds"}
    assert told["query"] == [photo]
    assert told["index"] == "default"
    assert told["seconds"].keys() == ALLOWED_SECONDS
    assert [r["rank"] for r in told["results"]] == [1, 2, 3, 4]
    scores = [r["score"] for r in told["results"]]
    assert scores == sorted(scores, reverse=True)
    first = told["results"][0]
    assert first.keys() == {"rank", "score", "path", "id", "width", "height", "taken", "one_in"}
    assert (first["width"], first["height"], first["taken"]) == (160, 120, None)


def test_stdin_is_a_query(run: Run, photos: Path, made: Path) -> None:
    photo = photos / "2024" / "may" / "photo 11.jpg"
    with photo.open("rb") as file:
        answered = subprocess.run(
            [sys.executable, "-m", "cli", "query", "-", "--paths", "-k", "1"],
            stdin=file,
            capture_output=True,
            env=environment(made),
        )
    assert answered.stdout.decode().splitlines() == [str(photo)]


def test_several_images_are_asked_by_their_mean(run: Run, photos: Path) -> None:
    pair = [photos / "other" / f"photo 0{n}.jpg" for n in (1, 2)]
    answered = run("query", *pair, "--paths", "-k", 2)
    assert set(answered.stdout.splitlines()) == {str(p) for p in pair}


def test_more_results_than_photos_are_all_of_them(run: Run, photos: Path) -> None:
    answered = run("query", photos / "other" / "photo 00.jpg", "-k", 500, "-0")
    assert len(answered.stdout.split("\0")[:-1]) == 30


def test_results_go_to_stdout_and_nothing_else_does(run: Run, photos: Path) -> None:
    answered = run("query", photos / "other" / "photo 00.jpg", "-k", 3)
    assert len(answered.stdout.splitlines()) == 3
    assert answered.stderr == ""


def test_a_gallery_is_one_page_with_pictures(run: Run, photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    answered = run("query", photos / "other" / "photo 00.jpg", "-k", 3, "--gallery", page)
    assert answered.returncode == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 4
    assert "http" not in text


COMMANDS = "compact demo duplicates encoders evaluate export index indexes info train verify"
USED = {
    # The program, with the heads of all its commands.
    *("cli", *(f"cli.{name}" for name in ("main", "common", "display", *COMMANDS.split()))),
    *(f"cli.{name}" for name in ("query", "conditions", "question", "results", "search")),
    *(
        "indexes",
        *(f"indexes.{name}" for name in ("index", "store", "txn", "place", "faults")),
        *(f"indexes.{name}" for name in ("mapped", "layout")),
        *(f"indexes.{name}" for name in ("holding", "records", "roots")),
    ),
    *(f"indexes.{name}" for name in ("segments", "kinds", "merging", "migrate", "filters")),
    *(f"indexes.{name}" for name in ("asked", "chance", "copies", "encoder", "pairs", "turns")),
    *("indexes.search.ranking", "indexes.search.nearest"),
    # A folder can be a question.
    *("indexes.sync.counts", "mocosearch.photos.scan", "mocosearch.photos.reading"),
    *("mocosearch", "mocosearch.errors", "mocosearch.home", "mocosearch.encoder"),
    *("mocosearch.encoder.card", "mocosearch.encoder.runtime", "mocosearch.photos"),
    *(f"mocosearch.photos.{name}" for name in ("borders", "decode", "colour", "facts", "formats")),
    *(f"mocosearch.photos.{name}" for name in ("perceptual", "plugins", "truncated", "worker")),
}
OTHERS = {
    *("numpy", "PIL", "lmdb", "faiss", "swig_runtime_data5", "openvino", "packaging"),
    *("typer", "annotated_doc", "shellingham"),
}


def test_a_query_imports_what_it_uses_and_nothing_else(made: Path, photos: Path) -> None:
    script = (
        "import sys; before = set(sys.modules); from cli.main import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "loaded = set(name for name in sys.modules if sys.modules[name]) - before\n"
        "print(*sorted(loaded), sep='\\n', file=sys.stderr)"
    )
    image = str(photos / "other" / "photo 00.jpg")
    ended = subprocess.run(
        [sys.executable, "-c", script, "query", image],
        env=environment(made),
        capture_output=True,
        text=True,
    )
    assert image in ended.stdout
    loaded = ended.stderr.split()
    own = {name for name in loaded if name.split(".")[0] in ("cli", "indexes", "mocosearch")}
    assert own == USED
    others = {name.split(".")[0] for name in loaded} - {"cli", "indexes", "mocosearch"}
    strange = {name for name in others - sys.stdlib_module_names if not name.startswith("_")}
    assert strange <= OTHERS


@pytest.fixture(scope="module")
def long_names(made: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of one photo under names that together are more than a pipe holds."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "photos").mkdir()
    for number in range(400):
        name = f"{number:03}{'x' * 230}.jpg"
        shutil.copy(photos / "other" / "photo 00.jpg", folder / "photos" / name)
    ended = command("index", folder / "photos", "--index", folder / "index", home=made)
    assert ended.returncode == 0, ended.stderr
    return folder / "index"


@pytest.mark.parametrize("line", [["query", "", "--paths", "-k", "400"], ["info"], ["--help"]])
def test_a_closed_pipe_ends_quietly(
    made: Path, photos: Path, long_names: Path, line: list[str]
) -> None:
    image, options = str(photos / "other" / "photo 00.jpg"), ["--index", str(long_names)]
    words = [word or image for word in line] + (options if "--help" not in line else [])
    whole = subprocess.run([PROGRAM, *words], env=environment(made), capture_output=True)
    assert whole.returncode == 0
    assert line[0] != "query" or len(whole.stdout) > 2**16
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [PROGRAM, *words], env=environment(made), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_filters_choose_before_the_search(run: Run, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    told = run("query", photo, "--paths", "-k", 15, "--in", photos / "2024")
    assert len(told.stdout.splitlines()) == 15
    assert all(line.startswith(str(photos / "2024")) for line in told.stdout.splitlines())
    told = run("query", photo, "--paths", "-k", 50, "--not-in", photos / "2024", "--format", "jpg")
    assert len(told.stdout.splitlines()) == 10
    none = run("query", photo, "--json", "--min-side", 121, "--taken", "2019", "--near", "1,2,3km")
    assert none.returncode == 0
    assert json.loads(none.stdout)["results"] == []
    assert "no photo fits" in none.stderr


def test_a_photo_is_shown_where_it_was_asked_for(run: Run, photos: Path, tmp_path: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photo, tmp_path / folder)
    index = tmp_path / "index"
    assert run("index", tmp_path / "a", tmp_path / "b", "--index", index).returncode == 0
    for folder in ("a", "b"):
        told = run("query", photo, "--paths", "--index", index, "--in", tmp_path / folder)
        assert told.stdout == f"{tmp_path / folder / photo.name}\n"
        told = run("query", photo, "--paths", "--index", index, "--not-in", tmp_path / folder)
        assert Path(told.stdout.strip()).parent.name == {"a": "b", "b": "a"}[folder]
    unfolded = run("query", photo, "--index", index, "--all").stdout.splitlines()
    assert len(unfolded) == 2
    assert not any("copy" in line.partition("photo")[2] for line in unfolded)
    (folded,) = run("query", photo, "--index", index).stdout.splitlines()
    assert folded.endswith("(+1 copy)")
    (one,) = run("query", photo, "--index", index, "--in", tmp_path / "a").stdout.splitlines()
    assert one.endswith(str(tmp_path / "a" / photo.name))
    words = ["query", photo, "--index", index, "--in", tmp_path / "b", "--all"]
    (one,) = run(*words).stdout.splitlines()
    assert one.endswith(str(tmp_path / "b" / photo.name))


def test_machines_are_told_of_every_file(
    run: Run, photos: Path, made: Path, tmp_path: Path
) -> None:
    photo = photos / "other" / "photo 04.jpg"
    (tmp_path / "more").mkdir()
    again = shutil.copy(photo, tmp_path / "more" / "again.jpg")
    index = tmp_path / "index"
    shutil.copytree(made / "indexes" / "default", index)
    assert run("index", tmp_path / "more", "--index", index).returncode == 0
    words = ["query", photo, "--index", index]
    told = json.loads(run(*words, "--json", "-k", 3).stdout)["results"]
    assert [r["rank"] for r in told] == [1, 2, 3]
    assert {r["path"] for r in told[:2]} == {str(photo), str(again)}
    assert told[0]["id"] == told[1]["id"] != told[2]["id"]
    for more in ([], ["--min-score", "auto"], ["--min-score", 0.9]):
        paths = run(*words, "--paths", "-k", 2, *more).stdout.splitlines()
        assert set(paths) == {str(photo), str(again)}
    assert run(*words, "-0", "-k", 1).stdout.count("\0") == 1


def test_a_name_of_any_bytes_goes_into_a_pipe_and_is_the_file_again(
    made: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    (photo,) = make_photos(folder, 1)
    odd = os.fsencode(folder) + b"/b\xff\nad \xc3.jpg"
    try:
        os.rename(photo, odd)
    except OSError:
        pytest.skip("no such names on this disk")
    home, index = environment(made), str(tmp_path / "index")
    indexed = subprocess.run([PROGRAM, "index", folder, "--index", index], env=home, check=False)
    assert indexed.returncode == 0
    words = [PROGRAM, "query", odd, "--index", index]
    for option, end in (("-0", b"\0"), ("--paths", b"\n")):
        told = subprocess.run([*words, option], env=home, capture_output=True, check=True).stdout
        assert told == odd + end


def test_the_camera_the_day_and_the_place_choose(run: Run, data: Path, tmp_path: Path) -> None:
    taken = [data / "camera" / f"jpg_{n}.jpg" for n in ("Canon_40D", "Nikon_D70", "gps_DSCN0010")]
    if not all(photo.is_file() for photo in taken):
        pytest.skip("no photos of cameras among the shared pictures")
    (tmp_path / "photos").mkdir()
    canon, nikon, place = (shutil.copy(photo, tmp_path / "photos") for photo in taken)
    make_photos(tmp_path / "photos", 2)
    index = tmp_path / "index"
    assert run("index", tmp_path / "photos", "--index", index).returncode == 0

    def found(*filters: str) -> set[str]:
        told = run("query", canon, "--index", index, "--paths", *filters).stdout
        return set(told.splitlines())

    assert found("--camera", "eos 40d") == {str(canon)}
    assert found("--taken", "2008-03..2008-05") == {str(canon), str(nikon)}
    assert found("--near", "43.467,11.885,1km") == {str(place)}
    assert found("--near", "43.467,11.885,1km", "--taken", "2008-05") == set()


def test_no_colour_goes_into_a_pipe(made: Path, photos: Path) -> None:
    env = {name: value for name, value in environment(made).items() if name != "NO_COLOR"}
    line = [sys.executable, "-m", "cli", "query", str(photos / "other" / "photo 00.jpg")]
    told = subprocess.run(line, env=env | {"TERM": "xterm-256color"}, capture_output=True)
    assert told.returncode == 0
    assert b"\x1b" not in told.stdout + told.stderr


def test_options_that_make_no_sense_together(run: Run, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    assert run("query", photo, "-i", "--json").returncode == 2
    assert run("query", photos, "--crop", "0,0,10,10").returncode == 2
    outside = run("query", photo, "--crop", "0,500,10,10")
    assert outside.returncode == 2
    assert "160 x 120" in outside.stderr


def test_a_folder_with_a_bad_file_is_asked_and_ends_with_3(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path, 3)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    told = run("query", tmp_path, "--paths", "-k", 2)
    assert told.returncode == 3
    assert len(told.stdout.splitlines()) == 2
    assert "bad.jpg" in told.stderr


def test_a_turned_picture_is_found(run: Run, photos: Path, tmp_path: Path) -> None:
    photo = photos / "other" / "photo 04.jpg"
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png")
    told = json.loads(run("query", tmp_path / "turned.png", "--turned", "--json").stdout)
    assert told["results"][0]["path"] == str(photo)
    assert told["results"][0]["score"] > 0.95
    assert len({r["id"] for r in told["results"]}) == 10


def test_scores_have_a_floor(run: Run, photos: Path, many: Path) -> None:
    photo = photos / "other" / "photo 04.jpg"
    told = json.loads(run("query", photo, "--json", "--min-score", 0.9).stdout)
    assert [r["path"] for r in told["results"]] == [str(photo)]
    words = ["query", photo, "--json", "-k", 30, "--min-score", "auto"]
    auto = json.loads(run(*words, "--index", many).stdout)["results"]
    assert 1 <= len(auto) < 30
    assert auto[0]["one_in"] > 30
    assert len(json.loads(run(*words).stdout)["results"]) == 30
    assert run("query", photo, "--min-score", "high").returncode == 2


def test_copies_share_a_line_in_the_table_alone(
    run: Run, photos: Path, made: Path, tmp_path: Path
) -> None:
    photo = photos / "other" / "photo 04.jpg"
    more = tmp_path / "more"
    more.mkdir()
    with Image.open(photo) as image:
        for quality in (60, 70, 80):
            image.save(more / f"copy {quality}.jpg", quality=quality)
    index = tmp_path / "index"
    shutil.copytree(made / "indexes" / "default", index)
    assert run("index", more, "--index", index).returncode == 0
    words = ["query", photo, "--index", index, "-k", 3]
    folded = run(*words).stdout.splitlines()
    assert len(folded) == 3
    assert folded[0].endswith("(+3 copies)")
    assert "copy" not in run(*words, "--all").stdout.splitlines()[0].removeprefix(str(photo))
    assert len([p for p in run(*words, "--paths").stdout.splitlines() if "copy" in p]) == 2
    for more in ([], ["--json"], ["--all"]):
        page = tmp_path / "page.html"
        assert run(*words, "--gallery", page, *more).returncode == 0
        assert page.read_text().count("data:image/jpeg;base64,") == 1 + 3
        assert page.read_text().count("(+3 copies)") == 1


def test_the_page_opens_in_the_browser_which_adds_nothing_to_the_results(
    made: Path, photos: Path, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho noise\necho "$1" > {tmp_path}/asked\n')
    browser.chmod(0o755)
    words = [PROGRAM, "query", photos / "other" / "photo 00.jpg", "-k", "2", "--paths", "--open"]
    bare = {"PATH": str(tmp_path), "DISPLAY": "", "WAYLAND_DISPLAY": "", "TERM": ""}
    for name, asked in ((str(browser), True), (str(tmp_path / "absent"), False)):
        env = {**environment(made), **bare, "BROWSER": name}
        told = subprocess.run(words, env=env, capture_output=True, text=True)
        assert told.returncode == 0
        assert len(told.stdout.splitlines()) == 2
        assert "noise" not in told.stdout
        assert ("no browser could be started" in told.stderr) != asked
    assert (tmp_path / "asked").read_text().startswith("file:///")


def test_a_terminal_that_lacks_a_letter_is_no_error(run: Run, made: Path, tmp_path: Path) -> None:
    make_photos(tmp_path / "d\u00fcne", 2)
    index = tmp_path / "index"
    assert run("index", tmp_path / "d\u00fcne", "--index", index).returncode == 0
    env = {**environment(made), "PYTHONIOENCODING": "ascii"}
    line = [sys.executable, "-m", "cli", "query", str(tmp_path / "d\u00fcne" / "photo 00.jpg")]
    ended = subprocess.run([*line, "--index", str(index)], env=env, capture_output=True)
    assert ended.returncode == 0
    assert rb"d\xfcne" in ended.stdout
