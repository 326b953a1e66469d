"""The folders of an index. Each path is stored relative to one of them, the root, by its number.

`2/2019/crab.jpg` is a stored path, with `/` on every system, so that a disk works on any of them,
and in UTF-8 in every locale.
A root that gets another mount point changes one entry.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from indexes.store.records import (
    PathEntry,
    Record,
    SkippedFile,
    id_key,
    path_key,
    to_path,
    to_text,
)
from indexes.store.txn import Txn
from mocosearch.errors import Damaged, NotFound
from mocosearch.photos.scan import Folders, is_within, upwards, with_slashes

ROOTS = b"roots"


@dataclass(frozen=True)
class Roots:
    """The absolute folders of an index by number; none is inside another."""

    places: dict[int, str]

    @classmethod
    def of(cls, txn: Txn) -> "Roots":
        """The roots of an index, at their present places.

        Where the index's folder has moved since they were written, a root on the same disk that
        is missing or empty is looked for at the same relative path: an index beside its photos
        moves with them.
        """
        stored = txn.get("meta", ROOTS)
        fields = json.loads(bytes(stored)) if stored is not None else {}
        folder, before = os.fspath(txn.folder.absolute()), to_path(fields.get("folder", ""))
        places = {int(n): to_path(text) for n, text in fields.get("places", {}).items()}
        if folder == before:
            return cls(places)
        beside = set(fields.get("beside", ()))
        return cls({n: _follow(p, before, folder) if n in beside else p for n, p in places.items()})

    def save(self, txn: Txn, at: Path | None = None) -> None:
        """Store them; `at` is the index's folder, if it is about to move there."""
        folder = os.fspath((at or txn.folder).absolute())
        fields = {
            "folder": to_text(folder),
            "beside": [n for n, path in self.places.items() if _same_disk(path, folder)],
            "places": {n: to_text(path) for n, path in self.places.items()},
        }
        txn.put("meta", ROOTS, json.dumps(fields).encode())

    def number(self, path: str) -> int | None:
        """The number of the root that contains an absolute path."""
        numbers = (self._numbers.get(place) for place in upwards(path))
        return next((number for number in numbers if number is not None), None)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {os.path.normcase(root): n for n, root in self.places.items()}

    def reach(self, folder: str) -> bool:
        """Whether a folder is in a root, or a root in it: no other can contain their photos."""
        return any(
            is_within(folder, root) or is_within(root, folder) for root in self.places.values()
        )

    def relative(self, path: str) -> str:
        """An absolute path as it is stored. Raises NotFound outside all roots."""
        number = self.number(path)
        if number is None:
            raise NotFound(f"{path} is in no folder of this index")
        return f"{number}/{to_text(with_slashes(_below(path, self.places[number])))}"

    def path(self, stored: str) -> str:
        """The absolute path of a stored one. Raises Damaged."""
        number, _, below = stored.partition("/")
        root = self.places.get(int(number) if number.isdecimal() else -1)
        if root is None:
            raise Damaged("the index has a path without a root", "remove it and index again")
        return os.path.join(root, *to_path(below).split("/")) if below else root


def _below(path: str, root: str) -> str:
    return path[len(os.path.join(root, "")) :] if path != root else ""


def _follow(path: str, before: str, folder: str) -> str:
    """A root's place, where the index moved from the folder `before`."""
    place = os.path.normpath(os.path.join(folder, os.path.relpath(path, before)))
    return place if not _has_content(path) and _same_disk(place, folder) else path


def _has_content(path: str) -> bool:
    """Whether it is a file, or a folder with something in it: an empty one may be the mount point
    of a disk that is elsewhere now.
    """
    try:
        return bool(os.listdir(path))
    except NotADirectoryError:
        return True
    except OSError:
        return False


def _same_disk(path: str, folder: str) -> bool:
    try:
        return os.stat(path).st_dev == os.stat(folder).st_dev
    except OSError:
        return False


def add(txn: Txn, folders: Iterable[str]) -> Roots:
    """Add absolute folders that no root contains yet."""
    before = Roots.of(txn)
    around, free = Folders(before.places.values()), max(before.places, default=0) + 1
    more = [folder for folder in folders if not around.contain(folder)]
    return _join(txn, before.places | dict(enumerate(more, free)))


def move(txn: Txn, old: str, new: str) -> Roots:
    """Change the roots in the folder `old` to be in `new`; no photo is read.

    Raises NotFound where `old` contains no root.
    """
    places = Roots.of(txn).places
    inner = {n: os.path.join(new, _below(p, old)) for n, p in places.items() if is_within(p, old)}
    if not inner:
        raise no_such_root(old, places.values())
    return _join(txn, places | {n: os.path.normpath(p) for n, p in inner.items()})


def forget(txn: Txn, numbers: Iterable[int]) -> Roots:
    """Remove roots that contain no photo any more."""
    empty = set(numbers)
    others = Roots({n: p for n, p in Roots.of(txn).places.items() if n not in empty})
    others.save(txn)
    return others


def no_such_root(folder: str, roots: Iterable[str]) -> NotFound:
    """The error for a folder that is no root; it lists the roots."""
    names = ", ".join(sorted(roots))
    return NotFound(
        f"{folder} is no root of this index",
        f"its roots: {names}" if names else "it has none yet: mocosearch index PHOTOS",
    )


def _join(txn: Txn, places: dict[int, str]) -> Roots:
    """Store roots; those inside another become part of it."""
    first = {os.path.normcase(path): n for n, path in sorted(places.items(), reverse=True)}
    around = Folders(places.values())

    def is_inner(n: int, path: str) -> bool:
        above = os.path.dirname(path)
        return first[os.path.normcase(path)] != n or (above != path and around.contain(above))

    inner = {n for n, path in places.items() if is_inner(n, path)}
    outermost = Roots({n: path for n, path in places.items() if n not in inner})
    if inner:
        old = Roots(places)

        def change(stored: str) -> str:
            number = int(stored.partition("/")[0])
            return outermost.relative(old.path(stored)) if number in inner else stored

        rename(txn, change)
    outermost.save(txn)
    return outermost


def rename(txn: Txn, change: Callable[[str], str]) -> None:
    """Change every stored path. Paths that become equal were one file."""
    for database, kind in (("paths", PathEntry), ("refused", SkippedFile)):
        for key, entry in list(_changes(txn, database, kind, change)):
            txn.delete(database, key)
            txn.put(database, path_key(entry.path), entry.to_bytes())
    for key in list(txn.keys("images")):
        record = Record.from_bytes(txn.get("images", key) or b"")
        paths = list(dict.fromkeys(map(change, record.paths)))
        own = [path for path in paths if _belongs_to(txn, path, key)]
        if own != record.paths:
            txn.put("images", key, replace(record, paths=own).to_bytes())
        if not own:
            txn.put("deleted", key, b"")


def _changes(
    txn: Txn,
    database: str,
    kind: type[PathEntry] | type[SkippedFile],
    change: Callable[[str], str],
) -> Iterator[tuple[bytes, PathEntry | SkippedFile]]:
    for key, value in txn.items(database):
        entry = kind.from_bytes(value)
        name = change(entry.path)
        if name != entry.path:
            yield bytes(key), replace(entry, path=name)


def _belongs_to(txn: Txn, path: str, id: bytes) -> bool:
    entry = txn.get("paths", path_key(path))
    return entry is not None and id_key(PathEntry.from_bytes(entry).id) == id


def absolute(folder: str | os.PathLike[str]) -> str:
    """A folder's absolute path, with `~` expanded; it need not exist."""
    return os.path.abspath(Path(folder).expanduser())
