"""The home folder, which holds encoders, indexes and caches, and the paths of names in it."""

import os
from pathlib import Path
from typing import Literal

from mocosearch.errors import NotFound

Kind = Literal["encoders", "indexes"]

STARTER = Path(__file__).parent / "starter"
"""The encoder that comes with the program, under the name `starter`."""


def home() -> Path:
    """`$MOCOSEARCH_HOME`, or else the platform's folder for application data."""
    value = os.environ.get("MOCOSEARCH_HOME")
    if value:
        return Path(value).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("mocosearch", appauthor=False))


def path_of(kind: Kind, name: str) -> Path:
    """The folder of an encoder or index, given its name or path.

    A text that contains a path separator, or begins with a dot or tilde, is a path; any other is a
    name in the home folder. `./holiday` is a folder here, `holiday` is in the home folder. The
    encoder `starter` is the program's own.
    """
    is_path = os.sep in name or (os.altsep or os.sep) in name or name[:1] in (".", "~")
    if is_path or not name:
        return Path(name).expanduser().absolute()
    if kind == "encoders" and name == STARTER.name:
        return STARTER
    return home() / kind / name


def names(kind: Kind) -> list[str]:
    """The names in the home folder, sorted, with `starter` among the encoders. Incomplete ones
    begin with a dot and are left out.
    """
    folder = home() / kind
    own = [STARTER.name] if kind == "encoders" and STARTER.is_dir() else []
    if not folder.is_dir():
        return own
    complete = (p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted({*complete, *own})


def not_found_error(kind: Kind, folder: Path) -> NotFound:
    """The error for an encoder or index that does not exist; its hint lists the existing ones."""
    singular = {"encoders": "encoder", "indexes": "index"}[kind]
    existing = names(kind)
    command = {"encoders": "mocosearch train PHOTOS", "indexes": "mocosearch index PHOTOS"}[kind]
    hint = f"there are: {', '.join(existing)}" if existing else f"make one with: {command}"
    if len(existing) > 1:
        from difflib import get_close_matches

        similar = get_close_matches(folder.name, existing, n=1)
        hint = f"did you mean {similar[0]}? {hint}" if similar else hint
    return NotFound(f"no {singular} at {folder}", hint)
