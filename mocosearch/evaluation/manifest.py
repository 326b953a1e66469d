"""Labels in a file."""

import os
from pathlib import Path

from mocosearch.errors import Unreadable


def read_manifest(manifest: Path) -> dict[str, str]:
    """Labels by absolute path, from lines of path, tab and label; paths are relative to the file's
    folder. Raises Unreadable.
    """
    try:
        lines = manifest.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        pairs = [line.split("\t") for line in lines if line.strip()]
        return {os.path.abspath(manifest.parent / path): label for path, label in pairs}
    except (OSError, ValueError) as error:
        raise Unreadable(
            f"cannot read {manifest}: {error}", "each line must be a path, a tab and a label"
        ) from error
