"""A look on disk: the pictures it was made from, and answers about photos.

It holds no keys, so another encoder or another index can use it. A look is a folder in the home,
readable by its owner only: copies of the pictures, and `look.json`.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mocosearch.errors import Damaged, NotFound, StorageFailed, Unreadable, Unsuitable
from mocosearch.home import home
from mocosearch.photos.decode import decode, digest_of, read

FORMAT = 1
ABOUT = "look.json"
SMALLEST = 32
"""Side in pixels at which a picture is decoded, to see whether it can be read."""


@dataclass(frozen=True)
class Look:
    """A look.

    pictures: the files of its pictures in its folder, and whether each is wanted. answers: for the
    digest of a photo's content, whether it belongs to the look. asked: for the folder of an index,
    the id from which on photos are new since the look was last asked there.
    """

    name: str
    pictures: Mapping[str, bool]
    answers: Mapping[str, bool] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where it is stored."""
        return folder_of(self.name)

    def images(self, wanted: bool) -> list[bytes]:
        """The bytes of its wanted or unwanted pictures. Raises Damaged."""
        try:
            return [
                (self.folder / name).read_bytes()
                for name, is_wanted in self.pictures.items()
                if is_wanted == wanted
            ]
        except OSError as error:
            raise _damaged(self.name) from error

    def with_answers(self, answers: Mapping[str, bool]) -> "Look":
        """The same look with more answers, stored; later ones replace earlier ones. Raises
        StorageFailed.
        """
        return _store(replace(self, answers={**self.answers, **answers}))

    def with_asked(self, index: Path, next_id: int) -> "Look":
        """The same look, asked in an index up to an id, stored. Raises StorageFailed."""
        return _store(replace(self, asked={**self.asked, os.fspath(index.absolute()): next_id}))

    def asked_in(self, index: Path) -> int:
        """The id from which on photos of an index are new; 0 where it was not asked there."""
        return self.asked.get(os.fspath(index.absolute()), 0)


def folder_of(name: str) -> Path:
    """The folder of a look. Raises Unsuitable for a text that cannot be its name."""
    separators = {os.sep, os.altsep or os.sep, "/", "\0"}
    if not name or name[0] in ".@-" or separators.intersection(name):
        raise Unsuitable(f"{name!r} cannot be the name of a look", "write a plain name: beach")
    return home() / "looks" / name


def names() -> list[str]:
    """The names of all looks, sorted."""
    folder = home() / "looks"
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def save(
    name: str,
    wanted: Sequence[str | os.PathLike[str]],
    unwanted: Sequence[str | os.PathLike[str]] = (),
) -> Look:
    """A new look with copies of some picture files, whole or not at all.

    Raises Unsuitable where there is a look of this name, NotFound and Unreadable for a file that is
    no picture, and StorageFailed.
    """
    folder = folder_of(name)
    if folder.exists():
        raise Unsuitable(f"there is a look {name} already", f"mocosearch look drop {name}")
    contents = [(_picture(path), path, True) for path in wanted]
    contents += [(_picture(path), path, False) for path in unwanted]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Private: only its owner may read a folder of mkdtemp.
        part = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    except OSError as error:
        raise _storage_failed(folder, error) from error
    try:
        pictures = {}
        for number, (data, path, is_wanted) in enumerate(contents):
            file = f"{number}{Path(path).suffix.lower()}"
            _write(part / file, data)
            pictures[file] = is_wanted
        look = Look(name, pictures)
        _write(part / ABOUT, _to_json(look))
        part.rename(folder)
    except OSError as error:
        raise _storage_failed(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return look


def load(name: str) -> Look:
    """The look of a name. Raises NotFound and Damaged."""
    folder = folder_of(name)
    try:
        stored: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
        if stored["format"] != FORMAT:
            raise Damaged(f"the look {name} has format {stored['format']}", "update mocosearch")
        return Look(name, stored["pictures"], stored["answers"], stored["asked"])
    except FileNotFoundError:
        existing = ", ".join(names())
        hint = f"there are: {existing}" if existing else f"mocosearch look save {name} IMAGE"
        raise NotFound(f"no look {name}", hint) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(name) from error


def drop(name: str) -> None:
    """Remove a look with its pictures and answers. Raises NotFound and StorageFailed."""
    folder = folder_of(name)
    if not folder.is_dir():
        load(name)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise _storage_failed(folder, error) from error


def digest_of_file(path: str | os.PathLike[str]) -> str:
    """The digest of a file's content, as in `Look.answers`. Raises NotFound and Unreadable."""
    return digest_of(_content(path)).hex()


def _picture(path: str | os.PathLike[str]) -> bytes:
    data = _content(path)
    try:
        decode(data, SMALLEST)
    except Unreadable as error:
        raise Unreadable(f"cannot read {os.fspath(path)}: {error.what}") from error
    return data


def _content(path: str | os.PathLike[str]) -> bytes:
    if not os.path.isfile(path):
        raise NotFound(f"no such file: {os.fspath(path)}")
    try:
        return read(os.fspath(path)) or b""
    except Unreadable as error:
        raise Unreadable(f"cannot read {os.fspath(path)}: {error.what}") from error


def _to_json(look: Look) -> bytes:
    fields = {"pictures": look.pictures, "answers": look.answers, "asked": look.asked}
    return json.dumps({"format": FORMAT, **fields}).encode()


def _store(look: Look) -> Look:
    part = look.folder / f".{ABOUT}"
    try:
        _write(part, _to_json(look))
        part.replace(look.folder / ABOUT)
    except OSError as error:
        raise _storage_failed(look.folder, error) from error
    return look


def _write(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _damaged(name: str) -> Damaged:
    return Damaged(f"the look {name} cannot be read", f"mocosearch look drop {name}")


def _storage_failed(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(f"cannot write {folder}: {error.strerror or error}")
