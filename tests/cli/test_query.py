import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from program import PROGRAM, Run, command, environment, make_photos

from indexes import Crop, Index, Weighted, Where

ALLOWED_SECONDS = {"total", "encode", "search"}


def test_a_photo_of_the_collection_is_its_own_first_result(run: Run, photos: Path) -> None:
    for photo in sorted(photos.rglob("*.jpg"))[::7]:
        document = json.loads(run("query", photo, "--json").stdout)
        assert document["results"][0]["path"] == str(photo)
        assert document["results"][0]["score"] >= 0.98


def test_json_has_the_documented_form(run: Run, photos: Path) -> None:
    photo = str(photos / "other" / "photo 03.jpg")
    document = json.loads(run("query", photo, "-k", 4, "--json").stdout)
    assert document.keys() == {"query", "index", "results", "seconds"}
    assert document["query"] == [photo]
    assert document["index"] == "default"
    assert document["seconds"].keys() == ALLOWED_SECONDS
    assert [r["rank"] for r in document["results"]] == [1, 2, 3, 4]
    first = document["results"][0]
    # Only the first place is promised to the best score; the next ones are re-ranked.
    assert first["score"] == max(r["score"] for r in document["results"])
    names = {"rank", "score", "path", "id", "width", "height", "taken", "one_in", "missing"}
    assert first.keys() == names
    assert (first["width"], first["height"], first["taken"]) == (160, 120, None)


def test_stdin_is_a_query(run: Run, photos: Path, ready_home: Path) -> None:
    photo = photos / "2024" / "may" / "photo 11.jpg"
    with photo.open("rb") as file:
        process = subprocess.run(
            [sys.executable, "-m", "cli", "query", "-", "--paths", "-k", "1"],
            stdin=file,
            capture_output=True,
            env=environment(ready_home),
        )
    assert process.stdout.decode().splitlines() == [str(photo)]


def test_several_images_are_searched_by_their_mean(run: Run, photos: Path) -> None:
    pair = [photos / "other" / f"photo 0{n}.jpg" for n in (1, 2)]
    process = run("query", *pair, "--paths", "-k", 2)
    assert set(process.stdout.splitlines()) == {str(p) for p in pair}


def test_more_results_than_photos_are_all_of_them(run: Run, photos: Path) -> None:
    process = run("query", photos / "other" / "photo 00.jpg", "-k", 500, "-0")
    assert len(process.stdout.split("\0")[:-1]) == 30


def test_results_go_to_stdout_and_nothing_else_does(run: Run, photos: Path) -> None:
    process = run("query", photos / "other" / "photo 00.jpg", "-k", 3)
    assert len(process.stdout.splitlines()) == 3
    assert process.stderr == ""


def test_a_gallery_is_one_page_with_pictures(run: Run, photos: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    process = run("query", photos / "other" / "photo 00.jpg", "-k", 3, "--gallery", page)
    assert process.returncode == 0
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 4
    assert "http" not in text


COMMANDS = (
    "compact demo duplicates encoder_files encoders evaluate export index indexes info library "
    "look pick serve train "
    "verify watch"
)
USED = {
    # The program, with the heads of all its commands.
    *(
        "cli",
        *(f"cli.{name}" for name in ("main", "common", "display", "values", *COMMANDS.split())),
    ),
    *(f"cli.{name}" for name in ("query", "options", "conditions", "question", "results")),
    *("indexes", "indexes.index", "indexes.migrate", "indexes.opening", "indexes.reader"),
    *("indexes.store", "indexes.search", "indexes.sync"),
    *("indexes.store.columns", "indexes.store.mapsize", "mocosearch.processes"),
    *("mocosearch.photos.failures", "mocosearch.photos.metadata"),
    *(f"mocosearch.photos.metadata.{name}" for name in ("facts", "position")),
    *("indexes.copies", "indexes.copies.compare"),
    *(f"indexes.store.{name}" for name in ("environment", "errors", "encoder", "layout", "locks")),
    *(f"indexes.store.{name}" for name in ("mapped", "place", "records", "roots", "txn")),
    *(f"indexes.search.{name}" for name in ("answer", "filters", "fold", "inputs", "kinds")),
    *(f"indexes.search.{name}" for name in ("merging", "nearest", "question", "ranking")),
    *(f"indexes.search.{name}" for name in ("segments", "significance", "snapshot", "view")),
    # A query can be a folder.
    *("indexes.sync.counts", "mocosearch.photos.scan", "mocosearch.photos.workers.reading"),
    *("mocosearch", "mocosearch.errors", "mocosearch.home", "mocosearch.encoder"),
    *("mocosearch.encoder.augmentation", "mocosearch.encoder.compiled"),
    *("mocosearch.encoder.card", "mocosearch.encoder.runtime", "mocosearch.photos"),
    *(f"mocosearch.photos.{name}" for name in ("borders", "decode", "colour", "formats")),
    *(f"mocosearch.photos.{name}" for name in ("perceptual", "plugins", "truncated")),
    "mocosearch.photos.squares",
    *("mocosearch.photos.workers", "mocosearch.photos.workers.protocol"),
    "mocosearch.photos.workers.worker",
}
OTHERS = {
    *("numpy", "PIL", "lmdb", "faiss", "swig_runtime_data5", "openvino", "packaging"),
    *("typer", "annotated_doc", "shellingham"),
}


def test_a_query_imports_what_it_uses_and_nothing_else(ready_home: Path, photos: Path) -> None:
    script = (
        "import sys; before = set(sys.modules); from cli.main import app\n"
        "try: app()\nexcept SystemExit: pass\n"
        "loaded = set(name for name in sys.modules if sys.modules[name]) - before\n"
        "print(*sorted(loaded), sep='\\n', file=sys.stderr)"
    )
    image = str(photos / "other" / "photo 00.jpg")
    process = subprocess.run(
        [sys.executable, "-c", script, "query", image],
        env=environment(ready_home),
        capture_output=True,
        text=True,
    )
    assert image in process.stdout
    loaded = process.stderr.split()
    own = {name for name in loaded if name.split(".")[0] in ("cli", "indexes", "mocosearch")}
    assert own == USED
    others = {name.split(".")[0] for name in loaded} - {"cli", "indexes", "mocosearch"}
    strange = {name for name in others - sys.stdlib_module_names if not name.startswith("_")}
    assert strange <= OTHERS


@pytest.fixture(scope="module")
def long_names(ready_home: Path, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of one photo under names that together are more than a pipe holds."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "photos").mkdir()
    for number in range(400):
        name = f"{number:03}{'x' * 230}.jpg"
        shutil.copy(photos / "other" / "photo 00.jpg", folder / "photos" / name)
    process = command("index", folder / "photos", "--index", folder / "index", home=ready_home)
    assert process.returncode == 0, process.stderr
    return folder / "index"


@pytest.mark.parametrize("line", [["query", "", "--paths", "-k", "400"], ["info"], ["--help"]])
def test_a_closed_pipe_ends_quietly(
    ready_home: Path, photos: Path, long_names: Path, line: list[str]
) -> None:
    image, options = str(photos / "other" / "photo 00.jpg"), ["--index", str(long_names)]
    words = [word or image for word in line] + (options if "--help" not in line else [])
    whole = subprocess.run([PROGRAM, *words], env=environment(ready_home), capture_output=True)
    assert whole.returncode == 0
    assert line[0] != "query" or len(whole.stdout) > 2**16
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [PROGRAM, *words], env=environment(ready_home), stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, b"")


def test_filters_apply_before_the_search(run: Run, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    process = run("query", photo, "--paths", "-k", 15, "--in", photos / "2024")
    assert len(process.stdout.splitlines()) == 15
    assert all(line.startswith(str(photos / "2024")) for line in process.stdout.splitlines())
    process = run(
        "query", photo, "--paths", "-k", 50, "--not-in", photos / "2024", "--format", "jpg"
    )
    assert len(process.stdout.splitlines()) == 10
    none = run("query", photo, "--json", "--min-side", 121, "--taken", "2019", "--near", "1,2,3km")
    assert none.returncode == 0
    assert json.loads(none.stdout)["results"] == []
    assert "No photo matches" in none.stderr


def test_a_photo_is_shown_in_the_folder_that_the_filter_names(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    photo = photos / "other" / "photo 00.jpg"
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photo, tmp_path / folder)
    index = tmp_path / "index"
    assert run("index", tmp_path / "a", tmp_path / "b", "--index", index).returncode == 0
    for folder in ("a", "b"):
        process = run("query", photo, "--paths", "--index", index, "--in", tmp_path / folder)
        assert process.stdout == f"{tmp_path / folder / photo.name}\n"
        process = run("query", photo, "--paths", "--index", index, "--not-in", tmp_path / folder)
        assert Path(process.stdout.strip()).parent.name == {"a": "b", "b": "a"}[folder]
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


def test_programs_get_every_file(run: Run, photos: Path, ready_home: Path, tmp_path: Path) -> None:
    photo = photos / "other" / "photo 04.jpg"
    (tmp_path / "more").mkdir()
    again = shutil.copy(photo, tmp_path / "more" / "again.jpg")
    index = tmp_path / "index"
    shutil.copytree(ready_home / "indexes" / "default", index)
    assert run("index", tmp_path / "more", "--index", index).returncode == 0
    words = ["query", photo, "--index", index]
    document = json.loads(run(*words, "--json", "-k", 3).stdout)["results"]
    assert [r["rank"] for r in document] == [1, 2, 3]
    assert {r["path"] for r in document[:2]} == {str(photo), str(again)}
    assert document[0]["id"] == document[1]["id"] != document[2]["id"]
    for more in ([], ["--min-score", "auto"], ["--min-score", 0.9]):
        paths = run(*words, "--paths", "-k", 2, *more).stdout.splitlines()
        assert set(paths) == {str(photo), str(again)}
    assert run(*words, "-0", "-k", 1).stdout.count("\0") == 1


def test_a_name_of_any_bytes_goes_into_a_pipe_unchanged(ready_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    (photo,) = make_photos(folder, 1)
    odd = os.fsencode(folder) + b"/b\xff\nad \xc3.jpg"
    try:
        os.rename(photo, odd)
    except OSError:
        pytest.skip("no such names on this disk")
    home, index = environment(ready_home), str(tmp_path / "index")
    indexed = subprocess.run([PROGRAM, "index", folder, "--index", index], env=home, check=False)
    assert indexed.returncode == 0
    words = [PROGRAM, "query", odd, "--index", index]
    for option, end in (("-0", b"\0"), ("--paths", b"\n")):
        process = subprocess.run([*words, option], env=home, capture_output=True, check=True)
        assert process.stdout == odd + end


def test_filters_by_camera_day_and_place(run: Run, data: Path, tmp_path: Path) -> None:
    taken = [data / "camera" / f"jpg_{n}.jpg" for n in ("Canon_40D", "Nikon_D70", "gps_DSCN0010")]
    if not all(photo.is_file() for photo in taken):
        pytest.skip("no photos of cameras among the shared pictures")
    (tmp_path / "photos").mkdir()
    canon, nikon, place = (shutil.copy(photo, tmp_path / "photos") for photo in taken)
    make_photos(tmp_path / "photos", 2)
    index = tmp_path / "index"
    assert run("index", tmp_path / "photos", "--index", index).returncode == 0

    def paths(*filters: str) -> set[str]:
        process = run("query", canon, "--index", index, "--paths", *filters)
        return set(process.stdout.splitlines())

    assert paths("--camera", "eos 40d") == {str(canon)}
    assert paths("--taken", "2008-03..2008-05") == {str(canon), str(nikon)}
    assert paths("--near", "43.467,11.885,1km") == {str(place)}
    assert paths("--near", "43.467,11.885,1km", "--taken", "2008-05") == set()


def test_no_colour_goes_into_a_pipe(ready_home: Path, photos: Path) -> None:
    env = {name: value for name, value in environment(ready_home).items() if name != "NO_COLOR"}
    line = [sys.executable, "-m", "cli", "query", str(photos / "other" / "photo 00.jpg")]
    process = subprocess.run(line, env=env | {"TERM": "xterm-256color"}, capture_output=True)
    assert process.returncode == 0
    assert b"\x1b" not in process.stdout + process.stderr


def test_options_that_make_no_sense_together(run: Run, photos: Path) -> None:
    photo = photos / "other" / "photo 00.jpg"
    assert run("query", photo, "-i", "--json").returncode == 2
    assert run("query", photos, "--crop", "0,0,10,10").returncode == 2
    outside = run("query", photo, "--crop", "0,500,10,10")
    assert outside.returncode == 2
    assert "160 x 120" in outside.stderr


def test_a_folder_with_a_bad_file_exits_with_3(run: Run, tmp_path: Path) -> None:
    make_photos(tmp_path, 3)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    process = run("query", tmp_path, "--paths", "-k", 2)
    assert process.returncode == 3
    assert len(process.stdout.splitlines()) == 2
    assert "bad.jpg" in process.stderr


def test_a_turned_picture_finds_its_original(run: Run, photos: Path, tmp_path: Path) -> None:
    photo = photos / "other" / "photo 04.jpg"
    with Image.open(photo) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png")
    document = json.loads(run("query", tmp_path / "turned.png", "--turned", "--json").stdout)
    assert document["results"][0]["path"] == str(photo)
    assert document["results"][0]["score"] > 0.95
    assert len({r["id"] for r in document["results"]}) == 10


def test_the_lowest_score(run: Run, photos: Path, many: Path) -> None:
    photo = photos / "other" / "photo 04.jpg"
    document = json.loads(run("query", photo, "--json", "--min-score", 0.9).stdout)
    assert [r["path"] for r in document["results"]] == [str(photo)]
    words = ["query", photo, "--json", "-k", 30, "--min-score", "auto"]
    auto = json.loads(run(*words, "--index", many).stdout)["results"]
    assert 1 <= len(auto) < 30
    assert auto[0]["one_in"] > 30
    assert len(json.loads(run(*words).stdout)["results"]) == 30
    assert run("query", photo, "--min-score", "high").returncode == 2


def test_copies_share_a_line_in_the_table_only(
    run: Run, photos: Path, ready_home: Path, tmp_path: Path
) -> None:
    photo = photos / "other" / "photo 04.jpg"
    more = tmp_path / "more"
    more.mkdir()
    with Image.open(photo) as image:
        for quality in (60, 70, 80):
            image.save(more / f"copy {quality}.jpg", quality=quality)
    index = tmp_path / "index"
    shutil.copytree(ready_home / "indexes" / "default", index)
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


def test_the_browser_adds_nothing_to_the_results(
    ready_home: Path, photos: Path, tmp_path: Path
) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho noise\necho "$1" > {tmp_path}/url\n')
    browser.chmod(0o755)
    words = [PROGRAM, "query", photos / "other" / "photo 00.jpg", "-k", "2", "--paths", "--open"]
    bare = {"PATH": str(tmp_path), "DISPLAY": "", "WAYLAND_DISPLAY": "", "TERM": ""}
    for name, starts in ((str(browser), True), (str(tmp_path / "absent"), False)):
        env = {**environment(ready_home), **bare, "BROWSER": name}
        process = subprocess.run(words, env=env, capture_output=True, text=True)
        assert process.returncode == 0
        assert len(process.stdout.splitlines()) == 2
        assert "noise" not in process.stdout
        assert ("no browser could be started" in process.stderr) != starts
    assert (tmp_path / "url").read_text().startswith("file:///")


REAL = ("crab", "crayfish", "garfield", "panda", "rooster")
OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["-k", "25"], {"k": 25}),
    (["--turned"], {"orientations": True}),
    (["--crop", "10%,20%,50%,60%"], {"crop": Crop(0.1, 0.2, 0.5, 0.6, relative=True)}),
    (["--min-side", "200", "--min-score", "0.2"], {"min_score": 0.2, "where": Where(min_side=200)}),
    (["--min-score", "auto", "-k", "40"], {"significant_only": True, "k": 40}),
]


@pytest.fixture(scope="module")
def real(
    data: Path, ready_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Real photos, some of them twice, and an index of them."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "photos").mkdir()
    for name in REAL:
        for photo in sorted((data / "caltech101" / name).iterdir())[:22]:
            shutil.copy(photo, folder / "photos" / f"{name} {photo.name}")
    for photo in sorted((folder / "photos").iterdir())[::9]:
        shutil.copy(photo, photo.with_name(f"copy of {photo.name}"))
    indexed = command("index", folder / "photos", "--index", folder / "index", home=ready_home)
    assert indexed.returncode == 0, indexed.stderr
    return folder / "photos", folder / "index"


@pytest.mark.parametrize(("words", "options"), OPTIONS, ids=lambda some: " ".join(map(str, some)))
def test_python_gives_what_the_command_gives(
    run: Run, real: tuple[Path, Path], words: list[str], options: dict[str, Any]
) -> None:
    folder, index = real
    first, second, third = sorted(folder.glob("c*.jpg"))[::15][:3]
    images: Any = first
    with Index.open(index) as opened:
        for query, more in (
            ([first], {}),
            ([first, f"{second}:2", "--minus", third], {"minus": third}),
        ):
            images = [first, Weighted(second, 2)] if more else first
            shown = json.loads(run("query", *query, *words, "--index", index, "--json").stdout)
            answer = opened.search(images, **options, **more, fold=False)
            assert [result["path"] for result in shown["results"]] == [
                result.record.paths[0] for result in answer
            ]
            for line, result in zip(shown["results"], answer, strict=True):
                assert line["score"] == pytest.approx(result.score, abs=1e-3)
                assert line["id"] == result.id
                assert line["one_in"] == pytest.approx(result.one_in, rel=0.05)
            table = run("query", *query, *words, "--index", index).stdout.splitlines()
            folded = opened.search(images, **options, **more)
            assert len(table) == len(folded)
            for row, result in zip(table, folded, strict=True):
                assert result.record.paths[0] in row
                assert ("cop" in row.rpartition(".jpg")[2]) == (result.copies > 0)


def test_a_terminal_that_lacks_a_letter_is_no_error(
    run: Run, ready_home: Path, tmp_path: Path
) -> None:
    make_photos(tmp_path / "d\u00fcne", 2)
    index = tmp_path / "index"
    assert run("index", tmp_path / "d\u00fcne", "--index", index).returncode == 0
    env = {**environment(ready_home), "PYTHONIOENCODING": "ascii"}
    line = [sys.executable, "-m", "cli", "query", str(tmp_path / "d\u00fcne" / "photo 00.jpg")]
    process = subprocess.run([*line, "--index", str(index)], env=env, capture_output=True)
    assert process.returncode == 0
    assert rb"d\xfcne" in process.stdout
