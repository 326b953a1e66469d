"""Groups that the user has said are not copies, remembered from one run to the next."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from indexes.duplicates.groups import Group
from indexes.search.view import View
from indexes.store.environment import Store
from indexes.store.records import Record
from indexes.store.txn import Txn
from mocosearch.errors import NotFound

NOT_COPIES = b"not_copies"
"""The name in `meta` of the contents of ignored groups."""


@dataclass(frozen=True)
class Ignored:
    """For each ignored group, how many files had each content."""

    groups: list[Counter[str]]

    @classmethod
    def of(cls, txn: Txn) -> Self:
        """The ignored groups of an index."""
        stored = txn.get("meta", NOT_COPIES)
        return cls([Counter(digests) for digests in json.loads(bytes(stored or b"[]"))])

    @classmethod
    def in_view(cls, view: View) -> Self:
        """The ignored groups of all indexes of a collection."""
        return cls([group for part in view.parts for group in cls.of(part.txn).groups])

    def both(self, one: Record, other: Record) -> bool:
        """Whether two photos were ignored together."""
        return self._includes(Counter((one.digest, other.digest)))

    def copies(self, group: Group) -> bool:
        """Whether a group has files of one content only, no more than were ignored together."""
        files = Counter(member.record.digest for member in group.members)
        return len(files) == 1 and self._includes(files)

    def _includes(self, files: Counter[str]) -> bool:
        return any(files <= ignored_group for ignored_group in self.groups)


def ignore(store: Store, names: Sequence[str], groups: Sequence[Group]) -> None:
    """Remember that the files of these groups are not copies of each other.

    Raises NotFound for a name that no group has.
    """
    by_name = {group.name: sorted(m.record.digest for m in group.members) for group in groups}
    unignored_group = [name for name in names if name not in by_name]
    if unignored_group:
        raise NotFound(f"no group {unignored_group[0]}", "mocosearch duplicates lists the groups")

    def change(txn: Txn) -> None:
        before = [sorted(ignored_group.elements()) for ignored_group in Ignored.of(txn).groups]
        both = [*before, *(by_name[name] for name in names)]
        txn.put("meta", NOT_COPIES, json.dumps(both).encode())

    store.write(change)
