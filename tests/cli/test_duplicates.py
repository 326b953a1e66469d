import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from program import Run, make_photos


@pytest.fixture(scope="module")
def copies(ready_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index over six photos, one of them three times, under a name that is hard on a shell."""
    from program import command

    base = tmp_path_factory.mktemp("doubled")
    paths = make_photos(base / "photos", 6)
    with Image.open(paths[0]) as image:
        image.save(base / "photos" / "it's a\ncopy.png")
        image.resize((80, 60)).save(base / "photos" / "small.jpg")
    outcome = command("index", base / "photos", "--index", base / "index", home=ready_home)
    assert outcome.returncode == 0, outcome.stderr
    return base


@pytest.fixture
def own(run: Run, copies: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The same photos and an index over them, for one test to change."""
    photos, index = tmp_path / "photos", tmp_path / "index"
    shutil.copytree(copies / "photos", photos)
    assert run("index", photos, "--index", index).returncode == 0
    return photos, index


def test_groups_as_text_json_and_csv(run: Run, copies: Path) -> None:
    words = ["duplicates", "--index", copies / "index"]
    result = json.loads(run(*words, "--json").stdout)
    assert result.keys() == {"groups", "seconds"}
    (group,) = result["groups"]
    names = {Path(path).name for path in group["paths"]}
    assert names == {"photo 00.jpg", "it's a\ncopy.png", "small.jpg"}
    assert 0.9 < group["score"] <= 1
    best = run(*words, "--keep", "best-format", "--csv")
    rows = list(csv.DictReader(best.stdout.splitlines(keepends=True)))
    assert [Path(r["path"]).name for r in rows if r["keep"] == "yes"] == ["it's a\ncopy.png"]
    text = run(*words)
    assert len(text.stdout.splitlines()) == 4
    assert text.stdout.count("keep") == 1
    assert "1 groups" in text.stderr
    assert run(*words, "--keep", "newest").returncode == 2
    assert run(*words, "--json", "--script").returncode == 2


def test_the_script_removes_the_files_not_to_keep(run: Run, own: tuple[Path, Path]) -> None:
    copy, index = own
    words = ["duplicates", "--index", index, "--keep", "best-format"]
    spare = run(*words, "-0").stdout.split("\0")[:-1]
    assert {Path(path).name for path in spare} == {"photo 00.jpg", "small.jpg"}
    before = sorted(copy.iterdir())
    script = run(*words, "--script").stdout
    assert sorted(copy.iterdir()) == before
    subprocess.run(["sh"], input=script, text=True, check=True)
    assert sorted(set(before) - set(copy.iterdir())) == sorted(map(Path, spare))


def test_the_script_removes_nothing_without_its_copy(run: Run, own: tuple[Path, Path]) -> None:
    copy, index = own
    words = ["duplicates", "--index", index]
    script = run(*words, "--script").stdout
    keeper = Path(json.loads(run(*words, "--json").stdout)["groups"][0]["keep"])
    keeper.unlink()
    before = sorted(copy.iterdir())
    subprocess.run(["sh"], input=script, text=True, check=True)
    assert sorted(copy.iterdir()) == before
    assert json.loads(run(*words, "--json").stdout)["groups"][0]["keep"] != str(keeper)


def test_the_script_continues_after_a_missing_file(
    run: Run, copies: Path, own: tuple[Path, Path]
) -> None:
    copy, index = own
    words = ["duplicates", "--index", index, "--keep", "best-format"]
    script = run(*words, "--script").stdout
    first, second = map(Path, run(*words, "-0").stdout.split("\0")[:-1])
    first.unlink()
    subprocess.run(["sh"], input=script, text=True, check=True)
    assert not second.exists()
    shutil.copy(copies / "photos" / first.name, first)
    second.hardlink_to(copy / "it's a\ncopy.png")
    subprocess.run(["sh"], input=script, text=True, check=True)
    assert second.exists()


def test_changed_files_are_left_out(run: Run, tmp_path: Path, own: tuple[Path, Path]) -> None:
    copy, index = own
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(copy / "photo 00.jpg", new / "again.jpg")
    (another,) = make_photos(tmp_path / "others", 1, seed=99)
    shutil.copy(another, copy / "small.jpg")
    (copy / "photo 00.jpg").unlink()
    for more in ([], ["--json"], ["--csv"], ["-0"], ["--script"]):
        result = run("duplicates", "--index", index, *more)
        assert "small.jpg" not in result.stdout
        assert "changed since they were indexed: 2 files; next: mocosearch index" in result.stderr
    result = run("duplicates", new, "--against", "--index", index, "--json")
    (group,) = json.loads(result.stdout)["groups"]
    assert [Path(path).name for path in group["paths"]] == ["again.jpg", "it's a\ncopy.png"]
    assert "changed since they were indexed: 2 files" in result.stderr


def test_a_folder_that_the_index_does_not_hold(run: Run, copies: Path, tmp_path: Path) -> None:
    words = ["duplicates", "--index", copies / "index"]
    result = run(*words, tmp_path)
    assert result.returncode == 1
    assert "in no folder of this index" in result.stderr
    assert "--against" in result.stderr
    assert len(json.loads(run(*words, copies, "--json").stdout)["groups"]) == 1
    assert run(*words, tmp_path, "--against").returncode == 0
    assert run(*words, tmp_path, "--against", "--keep", "oldest").returncode == 2


def test_which_file_is_kept(run: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = "2011:05:06 07:08:09"
    (large,) = make_photos(tmp_path / "photos", 1)
    with Image.open(large) as image:
        image.resize((96, 72)).save(large.with_name("old.jpg"), exif=exif, quality=95)
    index = tmp_path / "index"
    assert run("index", tmp_path / "photos", "--index", index).returncode == 0
    words = ["duplicates", "--index", index, "--json"]

    def keeps(*more: object) -> list[str]:
        groups = json.loads(run(*words, *more).stdout)["groups"]
        return [Path(group["keep"]).name for group in groups]

    assert keeps() == keeps("--keep", "largest") == ["photo 00.jpg"]
    assert keeps("--keep", "oldest") == ["old.jpg"]
    assert keeps("--threshold", 0.9999) == []


def test_the_oldest_file_without_a_time_of_capture(run: Run, own: tuple[Path, Path]) -> None:
    photos, index = own
    for days, name in enumerate(("small.jpg", "it's a\ncopy.png", "photo 00.jpg")):
        os.utime(photos / name, ns=(0, (10**9 + 86400 * days) * 10**9))
    assert run("index", photos, "--index", index).returncode == 0
    words = ["duplicates", "--index", index, "--json", "--keep", "oldest"]
    (group,) = json.loads(run(*words).stdout)["groups"]
    assert Path(group["keep"]).name == "small.jpg"


def test_the_table_holds_names_as_they_are(run: Run, photos: Path, tmp_path: Path) -> None:
    names = ["at 9\u202fAM.jpg", "b\xa0c.jpg"]
    for name in names:
        shutil.copy(photos / "other" / "photo 00.jpg", tmp_path / name)
    index = tmp_path / "index"
    assert run("index", tmp_path, "--index", index).returncode == 0
    result = run("duplicates", "--csv", "--index", index).stdout
    rows = list(csv.DictReader(result.splitlines(keepends=True)))
    assert sorted(Path(row["path"]).name for row in rows) == sorted(names)


def test_new_photos_against_the_collection(run: Run, copies: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    make_photos(new, 2, seed=77)
    with Image.open(copies / "photos" / "photo 03.jpg") as image:
        image.save(new / "again.jpg", quality=70)
        image.save(new / "and again.jpg", quality=75)
    words = ["duplicates", new, "--against", "--index", copies / "index"]
    result = json.loads(run(*words, "--json").stdout)["groups"]
    assert [[Path(path).name for path in group["paths"]] for group in result] == [
        ["again.jpg", "photo 03.jpg"],
        ["and again.jpg", "photo 03.jpg"],
    ]
    assert [Path(group["keep"]).name for group in result] == ["photo 03.jpg"] * 2
    spare = run(*words, "-0").stdout.split("\0")[:-1]
    assert [Path(path).name for path in spare] == ["again.jpg", "and again.jpg"]
    assert run("duplicates", "--against", "--index", copies / "index").returncode == 2


def test_new_photos_are_ignored_from_then_on(run: Run, copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies / "index", tmp_path / "index")
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(copies / "photos" / "photo 03.jpg", new / "same.jpg")
    with Image.open(copies / "photos" / "photo 04.jpg") as image:
        image.save(new / "again.jpg", quality=70)
    words = ["duplicates", new, "--against", "--index", tmp_path / "index", "--json"]
    result = json.loads(run(*words).stdout)["groups"]
    assert len(result) == 2
    ignored = [word for group in result for word in ("--ignore", group["name"])]
    assert json.loads(run(*words, *ignored).stdout)["groups"] == []
    assert json.loads(run(*words).stdout)["groups"] == []


def test_a_group_is_ignored_from_then_on(run: Run, copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies / "index", tmp_path / "index")
    words = ["duplicates", "--index", tmp_path / "index", "--json"]
    (group,) = json.loads(run(*words).stdout)["groups"]
    assert json.loads(run(*words, "--ignore", group["name"]).stdout)["groups"] == []
    assert json.loads(run(*words).stdout)["groups"] == []
    assert run(*words, "--ignore", "ffffffff").returncode == 1


def test_what_the_collection_has_comes_with_proof(run: Run, copies: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    make_photos(new, 1, seed=77)
    old = copies / "photos"
    shutil.copy(old / "photo 03.jpg", new / "bytes.jpg")
    data = (old / "photo 04.jpg").read_bytes()
    (new / "pixels.jpg").write_bytes(data[:2] + b"\xff\xfe\x00\x04ab" + data[2:])
    with Image.open(old / "photo 05.jpg") as image:
        image.transpose(Image.Transpose.ROTATE_90).save(new / "turned.jpg", quality=80)
        image.resize((320, 240)).save(new / "larger.jpg")
    (new / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (new / "video.mp4").write_bytes(b"no picture")
    words = ["duplicates", new, "--against", "--index", copies / "index"]
    outcome = run(*words, "--json")
    assert outcome.returncode == 3
    result = json.loads(outcome.stdout)
    proofs = {Path(g["new"]["path"]).name: g for g in result["groups"]}
    best = {name: group["copies"][0] for name, group in proofs.items()}
    assert {name: (copy["agreement"], copy["turned"]) for name, copy in best.items()} == {
        "bytes.jpg": ("bytes", False),
        "pixels.jpg": ("pixels", False),
        "turned.jpg": ("appearance", True),
        "larger.jpg": ("appearance", False),
    }
    assert best["turned.jpg"]["paths"] == [str(old / "photo 05.jpg")]
    assert all(copy["score"] > 0.9 for copy in best.values())
    assert [name for name, group in proofs.items() if group["smaller"]] == ["larger.jpg"]
    assert [Path(file["path"]).name for file in result["skipped"]] == ["bad.jpg"]
    assert result["not_pictures"] == 1

    text = run(*words)
    assert "appearance, turned" in text.stdout
    assert "4 of 5 photos are in the collection" in text.stderr
    assert "1 files that are not pictures" in text.stderr
    assert "1 of them only with fewer pixels" in text.stderr
    clear = run(*words, "--paths").stdout.splitlines()
    assert [Path(path).name for path in clear] == ["bytes.jpg", "pixels.jpg", "turned.jpg"]
    assert run(*words, "-0").stdout.split("\0")[:-1] == clear
    assert "larger.jpg" not in run(*words, "--script").stdout


def test_what_the_collection_does_not_have(run: Run, copies: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    make_photos(new / "a\nb", 2, seed=77)
    shutil.copy(copies / "photos" / "photo 03.jpg", new / "same.jpg")
    wanted = [str(new / "a\nb" / f"photo 0{number}.jpg") for number in range(2)]
    words = ["duplicates", new, "--against", "--missing", "--index", copies / "index"]
    result = json.loads(run(*words, "--json").stdout)
    assert result.keys() == {"missing", "skipped", "not_pictures", "seconds"}
    assert result["missing"] == wanted
    assert run(*words, "-0").stdout.split("\0")[:-1] == wanted
    assert run(*words, "--paths").stdout == "".join(f"{path}\n" for path in wanted)
    text = run(*words)
    assert len(text.stdout.splitlines()) == 2
    assert "2 of 3 photos are not in the collection" in text.stderr
    for other in ("--csv", "--script", "--turned"):
        assert run(*words, other).returncode == 2
    assert run("duplicates", new, "--missing", "--index", copies / "index").returncode == 2


def test_a_file_that_has_gone_since_is_no_copy(
    run: Run, own: tuple[Path, Path], tmp_path: Path
) -> None:
    photos, index = own
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(photos / "photo 03.jpg", new / "same.jpg")
    words = ["duplicates", new, "--against", "--missing", "--paths", "--index", index]
    assert run(*words).stdout == ""
    (photos / "photo 03.jpg").unlink()
    assert run(*words).stdout == f"{new / 'same.jpg'}\n"


def test_bursts_as_text_and_json(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with Image.open(make_photos(tmp_path / "made", 1)[0]) as image:
        for number in range(3):
            exif = Image.Exif()
            exif[ExifTags.Base.Model] = "One"
            time = f"2024:05:01 12:00:0{number}"
            exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = time
            image.rotate(number).save(tmp_path / "photos" / f"{number}.jpg", exif=exif)
    assert run("index", tmp_path / "photos", "--index", tmp_path / "index").returncode == 0
    words = ["duplicates", tmp_path / "photos", "--bursts", "--index", tmp_path / "index"]
    (burst,) = json.loads(run(*words, "--json").stdout)["bursts"]
    assert [Path(shot["path"]).name for shot in burst["photos"]] == ["0.jpg", "1.jpg", "2.jpg"]
    best = max(burst["photos"], key=lambda shot: shot["sharpness"])
    assert burst["sharpest"] == best["path"]
    text = run(*words)
    assert "2024-05-01T12:00:00  3 photos" in text.stdout
    assert text.stdout.count("sharpest") == 1
    assert "1 bursts, 3 photos" in text.stderr


@pytest.mark.parametrize("option", ["--script", "--paths", "--turned", "--against"])
def test_bursts_never_list_what_to_delete(run: Run, copies: Path, option: str) -> None:
    outcome = run("duplicates", copies, "--bursts", option, "--index", copies / "index")
    assert outcome.returncode == 2
    assert outcome.stdout == ""
