"""Remember that some photos are not copies: `python -m cli.web.background.ignoring INDEX ID...`.

A process opens an index once, and the server reads it; so this one changes it.
"""

import sys
from pathlib import Path

from cli.web.background.children import fail
from indexes import open_reader
from indexes.duplicates.groups import Group, Member, group_name
from mocosearch.errors import MocosearchError


def ignore(folder: Path, ids: list[int]) -> None:
    """Raises Busy, Damaged, StorageFailed."""
    with open_reader(folder, writable=True) as index:
        records = [index.record(id) for id in ids]
        members = [Member(path, record) for record in records for path in record.paths]
        group = Group(group_name(records), 0.0, members, members[0])
        index.ignore(group.name, [group])


def main() -> None:
    """Exit with 1, or with BUSY, and two lines on stderr where it fails."""
    try:
        ignore(Path(sys.argv[1]), [int(word) for word in sys.argv[2:]])
    except MocosearchError as error:
        fail(error)


if __name__ == "__main__":
    main()
