"""Groups that were told to be no copies, remembered from one run to the next."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from indexes.duplicates.groups import Group
from indexes.store.environment import Store
from indexes.store.records import Record
from indexes.store.txn import Txn
from mocosearch.errors import NotFound

_PLACE = b"not_copies"


@dataclass(frozen=True)
class Ignored:
    """Of each group that was ignored, how many files had each content."""

    groups: list[Counter[str]]

    @classmethod
    def of(cls, txn: Txn) -> Self:
        """Those of an index."""
        stored = txn.get("meta", _PLACE)
        return cls([Counter(digests) for digests in json.loads(bytes(stored or b"[]"))])

    def both(self, one: Record, other: Record) -> bool:
        """Whether two photos were ignored together."""
        return self._among_them(Counter((one.digest, other.digest)))

    def copies(self, group: Group) -> bool:
        """Whether a group is files of one content, no more of them than were ignored together."""
        files = Counter(member.record.digest for member in group.members)
        return len(files) == 1 and self._among_them(files)

    def _among_them(self, files: Counter[str]) -> bool:
        return any(files <= known for known in self.groups)


def ignore(store: Store, names: Sequence[str], found: Sequence[Group]) -> None:
    """Remember that the files of these groups are not copies of each other.

    Raises NotFound for a name that no group has.
    """
    by_name = {group.name: sorted(m.record.digest for m in group.members) for group in found}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise NotFound(f"no group {unknown[0]}", "mocosearch duplicates lists the groups")

    def change(txn: Txn) -> None:
        before = [sorted(known.elements()) for known in Ignored.of(txn).groups]
        made = [*before, *(by_name[name] for name in names)]
        txn.put("meta", _PLACE, json.dumps(made).encode())

    store.write(change)
