"""Where encoders, indexes and caches live, and how a name becomes a path."""

import os
from pathlib import Path
from typing import Literal

from mocosearch.errors import NotFound

Kind = Literal["encoders", "indexes"]

STARTER = Path(__file__).parent / "starter"
"""The encoder that comes with the program, under the name `starter`."""


def home() -> Path:
    """`$MOCOSEARCH_HOME`, else the platform's folder for a user's application data."""
    chosen = os.environ.get("MOCOSEARCH_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("mocosearch", appauthor=False))


def path_of(kind: Kind, name: str) -> Path:
    """The folder of an encoder or index, from a name or a path.

    What holds a path separator or begins with a dot or tilde is a path; all else is a name
    in the home. `./holiday` is a folder here, `holiday` is one of the home's. The encoder
    `starter` is the program's own.
    """
    looks_like_a_path = os.sep in name or (os.altsep or os.sep) in name or name[:1] in (".", "~")
    if looks_like_a_path or not name:
        return Path(name).expanduser().absolute()
    if kind == "encoders" and name == STARTER.name:
        return STARTER
    return home() / kind / name


def names(kind: Kind) -> list[str]:
    """The names that the home holds, sorted; what is half-written begins with a dot. The
    program's own `starter` is among the encoders.
    """
    folder = home() / kind
    own = [STARTER.name] if kind == "encoders" and STARTER.is_dir() else []
    if not folder.is_dir():
        return own
    kept = (p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return sorted({*kept, *own})


def not_found_error(kind: Kind, folder: Path) -> NotFound:
    """The error for an encoder or index that is not there: it lists those that are."""
    singular = {"encoders": "encoder", "indexes": "index"}[kind]
    there = names(kind)
    make = {"encoders": "mocosearch train PHOTOS", "indexes": "mocosearch index PHOTOS"}[kind]
    hint = f"there are: {', '.join(there)}" if there else f"make one with: {make}"
    if len(there) > 1:
        from difflib import get_close_matches

        alike = get_close_matches(folder.name, there, n=1)
        hint = f"did you mean {alike[0]}? {hint}" if alike else hint
    return NotFound(f"no {singular} at {folder}", hint)
