"""A filter in the index's own terms: folders as they are stored, and formats that exist."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from indexes.search.filters import SAME, Where, below, format_name, spelled
from indexes.store import columns
from indexes.store.roots import Roots
from indexes.store.txn import Txn
from mocosearch.errors import NotFound, Unsuitable
from mocosearch.photos.formats import EXTENSIONS, FORMATS
from mocosearch.photos.scan import is_within

MOST_ROOTS = 5
"""Folders of an index that an error names."""


def resolve(txn: Txn, roots: Roots, where: Where, holds_file: Callable[[str], bool]) -> Where:
    """The same conditions with folders as the index spells them: a link and its target are one.

    holds_file: whether the index has a file. Raises NotFound for a folder without a photo of the
    index, and Unsuitable for a format that does not exist: both are spelling mistakes.
    """
    if where.format is not None:
        _check_format(txn, where.format)

    def spellings(folders: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one for folder in folders for one in _places(txn, roots, folder, holds_file))

    return replace(where, under=spellings(where.under), not_under=spellings(where.not_under))


def _places(
    txn: Txn, roots: Roots, folder: str, holds_file: Callable[[str], bool]
) -> tuple[str, ...]:
    for places in spellings_of(txn, roots, folder):
        if any(map(holds_file, places)) or _holds_photos(txn, roots, places):
            return places
    names = sorted(roots.places.values())
    more = ", ..." if len(names) > MOST_ROOTS else ""
    raise NotFound(
        f"{folder} contains no photo of this index",
        f"its folders: {', '.join(names[:MOST_ROOTS])}{more}" if names else "it is empty",
    )


def _holds_photos(txn: Txn, roots: Roots, places: tuple[str, ...]) -> bool:
    is_below = below(places)
    return any(is_below(spelled(roots.path(text))) for text in _folders(txn))


def _folders(txn: Txn) -> Iterator[str]:
    """Every folder of a photo, as stored; some more than once."""
    for some in columns.blocks(txn):
        yield from some.coded("folder")[0]


def spellings_of(txn: Txn, roots: Roots, path: str) -> Iterator[tuple[str, ...]]:
    """What the index may call a path: the path itself; without links; through a root that is a
    link; through a link below a root. The costly ones come last.
    """
    yield (path,)
    real = os.path.realpath(path)
    if real != path:
        yield (real,)
    yield _through(real, roots.places.values())
    ancestors: dict[str, None] = {}
    for text in set(_folders(txn)):
        while text and text not in ancestors:
            ancestors[text] = None
            text = text.rpartition("/")[0]
    yield _through(real, filter(os.path.islink, map(roots.path, ancestors)))


def _through(real: str, links: Iterable[str]) -> tuple[str, ...]:
    """A real path as it is reached through links, and those links whose targets are below it."""
    places = []
    for link in links:
        target = os.path.realpath(link)
        if is_within(real, target):
            places.append(os.path.normpath(os.path.join(link, os.path.relpath(real, target))))
        elif is_within(target, real):
            places.append(link)
    return tuple(places)


def _check_format(txn: Txn, text: str) -> None:
    name = format_name(text)
    if name in map(format_name, (*SAME, *EXTENSIONS, *FORMATS)):
        return
    blocks = [
        some.coded(column)[0] for some in columns.blocks(txn) for column in ("format", "extension")
    ]
    present = {format_name(text) for texts in blocks for text in texts if text}
    if name in present:
        return
    from difflib import get_close_matches

    similar = get_close_matches(name, sorted({*map(format_name, FORMATS), *present}), n=1)
    guess = f"did you mean {similar[0]}? " if similar else ""
    raise Unsuitable(
        f"there is no format {text}", f"{guess}the index has: {', '.join(sorted(present))}"
    )
