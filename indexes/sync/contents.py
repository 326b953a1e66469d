"""Files whose content already has a key: recognised by their digest, without decoding them.

`chmod -R`, `cp -a` and a move change every file as the system sees it, and no content.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from indexes.store.environment import Store
from indexes.store.records import PathEntry, path_key
from indexes.store.roots import Roots
from indexes.sync import dates
from mocosearch.photos import FileStat
from mocosearch.photos.decode import digest_of_file

AT_ONCE = 64
"""Files that are hashed between two looks into the index."""


def recognise(
    store: Store, files: Sequence[FileStat], workers: int | None
) -> Iterator[tuple[FileStat, bytes | None]]:
    """Each file with the digest of its content if that has a key, else with None.

    Only files of the size of some photo are read. workers: threads; one per core by default.
    """
    sizes = _sizes(store, files)
    count = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        for first in range(0, len(files), AT_ONCE):
            some = files[first : first + AT_ONCE]
            digests = pool.map(lambda file: _digest(file, sizes), some)
            yield from _known(store, some, list(digests))


def _sizes(store: Store, files: Sequence[FileStat]) -> set[int]:
    """The sizes that some file has in common with a photo of the index."""
    wanted = {file.size for file in files}
    if not wanted:
        return set()
    with store.read() as txn:
        sizes = (PathEntry.from_bytes(value).size for _, value in txn.items("paths"))
        return wanted.intersection(sizes)


def _digest(file: FileStat, sizes: set[int]) -> bytes | None:
    is_photo = file.size in sizes and not os.path.basename(file.path).startswith("._")
    return digest_of_file(file.path) if is_photo else None


def _known(
    store: Store, files: Sequence[FileStat], digests: Sequence[bytes | None]
) -> list[tuple[FileStat, bytes | None]]:
    pairs: list[tuple[FileStat, bytes | None]] = []
    with store.read() as txn:
        roots, undated = Roots.of(txn), dates.load(txn)
        for file, digest in zip(files, digests, strict=True):
            id = None if digest is None else txn.get("digests", digest)
            if id is not None and undated:
                value = txn.get("paths", path_key(roots.relative(file.path)))
                again = value is not None and PathEntry.from_bytes(value).id in undated
                id = None if again else id
            pairs.append((file, None if id is None else digest))
    return pairs
