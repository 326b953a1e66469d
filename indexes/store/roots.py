"""Where photos lie: each path is kept as a root's number and the way from there.

`2/2019/crab.jpg` is a stored path, with `/` on every system, so that a disk answers on any. A
root that has another mount point changes one line.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from indexes.store.records import PathEntry, Record, SkippedFile, id_key, path_key
from indexes.store.txn import Txn
from mocosearch.errors import Damaged, NotFound
from mocosearch.photos.scan import is_within, with_slashes

ROOTS = b"roots"


@dataclass(frozen=True)
class Roots:
    """The folders of an index by their numbers, absolute; none inside another."""

    places: dict[int, str]

    @classmethod
    def of(cls, txn: Txn) -> "Roots":
        """Those of an index, as they lie now.

        Where the index's folder has moved since they were written, a root on the same disk is
        looked for at the same way from it first: an index that lives beside its photos travels
        with them.
        """
        stored = txn.get("meta", ROOTS)
        told = json.loads(bytes(stored)) if stored is not None else {}
        folder, before = os.fspath(txn.folder.absolute()), told.get("folder", "")
        places = {int(n): path for n, path in told.get("places", {}).items()}
        if folder == before:
            return cls(places)
        beside = set(told.get("beside", ()))
        return cls({n: _moved(p, before, folder) if n in beside else p for n, p in places.items()})

    def keep(self, txn: Txn, at: Path | None = None) -> None:
        """Write them down; `at` is the index's folder, where it is about to move there."""
        folder = os.fspath((at or txn.folder).absolute())
        told = {
            "folder": folder,
            "beside": [n for n, path in self.places.items() if _one_disk(path, folder)],
            "places": self.places,
        }
        txn.put("meta", ROOTS, json.dumps(told).encode())

    def number(self, path: str) -> int | None:
        """Of the root that holds an absolute path."""
        return next((n for n, root in self.places.items() if is_within(path, root)), None)

    def reach(self, folder: str) -> bool:
        """Whether it lies in a root, or a root in it: no other folder can hold their photos."""
        return any(
            is_within(folder, root) or is_within(root, folder) for root in self.places.values()
        )

    def stored(self, path: str) -> str:
        """An absolute path as it is kept. Raises NotFound outside all roots."""
        number = self.number(path)
        if number is None:
            raise NotFound(f"{path} lies in no folder of this index")
        return f"{number}/{with_slashes(_below(path, self.places[number]))}"

    def path(self, stored: str) -> str:
        """The absolute path of one that is kept. Raises Damaged."""
        number, _, below = stored.partition("/")
        root = self.places.get(int(number) if number.isdecimal() else -1)
        if root is None:
            raise Damaged("the index holds a path without its root", "remove it and index again")
        return os.path.join(root, *below.split("/")) if below else root


def _below(path: str, root: str) -> str:
    return path[len(os.path.join(root, "")) :] if path != root else ""


def _moved(path: str, before: str, folder: str) -> str:
    there = os.path.normpath(os.path.join(folder, os.path.relpath(path, before)))
    return there if _one_disk(there, folder) else path


def _one_disk(path: str, folder: str) -> bool:
    try:
        return os.stat(path).st_dev == os.stat(folder).st_dev
    except OSError:
        return False


def add(txn: Txn, folders: Iterable[str]) -> Roots:
    """Take absolute folders in, where none of the roots holds them already."""
    places = dict(Roots.of(txn).places)
    for folder in folders:
        if not any(is_within(folder, root) for root in places.values()):
            places[max(places, default=0) + 1] = folder
    return _joined(txn, places)


def move(txn: Txn, old: str, new: str) -> Roots:
    """Say that the roots in the folder `old` lie in `new`; nothing is read or encoded.

    Raises NotFound where no root lies there.
    """
    places = Roots.of(txn).places
    hit = {n: os.path.join(new, _below(p, old)) for n, p in places.items() if is_within(p, old)}
    if not hit:
        raise unknown(old, places.values())
    return _joined(txn, places | {n: os.path.normpath(p) for n, p in hit.items()})


def forget(txn: Txn, numbers: Iterable[int]) -> Roots:
    """Take roots out that hold no photo any more."""
    gone = set(numbers)
    left = Roots({n: p for n, p in Roots.of(txn).places.items() if n not in gone})
    left.keep(txn)
    return left


def unknown(folder: str, roots: Iterable[str]) -> NotFound:
    """The error for a folder that is no root: it lists those that are."""
    there = ", ".join(sorted(roots))
    return NotFound(
        f"{folder} is no root of this index",
        f"its roots: {there}" if there else "it has none yet: mocosearch index PHOTOS",
    )


def _joined(txn: Txn, places: dict[int, str]) -> Roots:
    """With every root that lies inside another made a part of that one."""
    inner = {
        n: above
        for n, path in places.items()
        for above, root in places.items()
        if n != above and is_within(path, root) and (path != root or above < n)
    }
    outermost = Roots({n: path for n, path in places.items() if n not in inner})
    if inner:
        old = Roots(places)

        def renamed(stored: str) -> str:
            number = int(stored.partition("/")[0])
            return outermost.stored(old.path(stored)) if number in inner else stored

        rename(txn, renamed)
    outermost.keep(txn)
    return outermost


def rename(txn: Txn, renamed: Callable[[str], str]) -> None:
    """Give every stored path another name; what met in one name was one file."""
    for database, kind in (("paths", PathEntry), ("refused", SkippedFile)):
        for key, entry in list(_changed(txn, database, kind, renamed)):
            txn.delete(database, key)
            txn.put(database, path_key(entry.path), entry.to_bytes())
    for key in list(txn.keys("images")):
        record = Record.from_bytes(txn.get("images", key) or b"")
        paths = list(dict.fromkeys(map(renamed, record.paths)))
        held = [path for path in paths if _stands_for(txn, path, key)]
        if held != record.paths:
            txn.put("images", key, replace(record, paths=held).to_bytes())
        if not held:
            txn.put("deleted", key, b"")


def _changed(
    txn: Txn,
    database: str,
    kind: type[PathEntry] | type[SkippedFile],
    renamed: Callable[[str], str],
) -> Iterator[tuple[bytes, PathEntry | SkippedFile]]:
    for key, value in txn.items(database):
        entry = kind.from_bytes(value)
        name = renamed(entry.path)
        if name != entry.path:
            yield bytes(key), replace(entry, path=name)


def _stands_for(txn: Txn, path: str, id: bytes) -> bool:
    entry = txn.get("paths", path_key(path))
    return entry is not None and id_key(PathEntry.from_bytes(entry).id) == id


def absolute(folder: str | os.PathLike[str]) -> str:
    """A folder's absolute path, with `~` put in; it need not exist."""
    return os.path.abspath(Path(folder).expanduser())
