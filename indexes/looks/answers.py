"""All answers that a person has given: for looks, and that photos are no copies."""

from collections.abc import Iterable

from indexes.duplicates.ignored import Ignored
from indexes.looks.look import Look, load, names
from indexes.search.view import View
from mocosearch.photos.decode import digest_of

Paths = list[str]


def answers_of(
    snapshot: View,
) -> tuple[list[tuple[list[Paths], list[Paths]]], list[list[Paths]]]:
    """For each look the photos of an index that belong to it and those that do not; and groups of
    photos that are not copies of each other. Each photo is given by the paths of its files.

    Raises Damaged for a damaged look.
    """
    looks = [_look_answers(load(name), snapshot) for name in names()]
    groups = Ignored.in_view(snapshot).groups
    return looks, [_paths(snapshot, sorted(group)) for group in groups]


def _look_answers(look: Look, snapshot: View) -> tuple[list[Paths], list[Paths]]:
    def photos(wanted: bool) -> list[Paths]:
        digests = {digest for digest, answer in look.answers.items() if answer == wanted}
        digests |= {digest_of(image).hex() for image in look.images(wanted)}
        return _paths(snapshot, sorted(digests))

    return photos(True), photos(False)


def _paths(snapshot: View, digests: Iterable[str]) -> list[Paths]:
    """The files of the photos with these contents, if the index has them."""
    ids = [snapshot.id_of(digest) for digest in digests]
    return [list(snapshot.record(id).paths) for id in ids if id is not None]
