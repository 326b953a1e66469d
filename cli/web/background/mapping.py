"""Bring the map of an index up to date: `python -m cli.web.background.mapping INDEX`.

It needs all processors for minutes, so it has the lowest priority and a process of its own. It
prints the share that is done, a line each.
"""

import os
import sys
import warnings
from pathlib import Path

from cli.web.background.children import fail
from indexes import open_reader
from mocosearch.errors import MocosearchError

PRIORITY = 19
"""The lowest, where the system has priorities as numbers."""


def main() -> None:
    """Exit with 1 and two lines on stderr where it fails."""
    if hasattr(os, "nice"):
        os.nice(PRIORITY)
    # They would fill the pipe that nobody reads before the end.
    warnings.simplefilter("ignore")
    try:
        # Imports openTSNE, after the priority is set.
        from indexes.maps.update import update

        with open_reader(Path(sys.argv[1])) as index:
            update(index.snapshot, index.folder, index.encoder.card.fingerprint, _report)
    except MocosearchError as error:
        fail(error)


def _report(share: float) -> None:
    sys.stdout.write(f"{share:.3f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
