"""mocosearch info: what an index holds."""

from os.path import abspath, expanduser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import IndexName, Json
from cli.display import one_line, show, show_json

if TYPE_CHECKING:
    from indexes.store.records import SkippedFile


def info(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Photos to tell about.")
    ] = None,
    index: IndexName = "default",
    skipped: Annotated[
        bool, typer.Option("--skipped", help="List the files without a key, with the reason.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what an index holds, or what it knows of some photos.

    Example: mocosearch info --skipped
    """
    from indexes import Index

    if photos:
        _tell_photos(index, photos, json)
        return
    with Index.open(index) as opened:
        told = opened.info()
        skipped_files = opened.skipped_files() if skipped else []
    if json:
        listed = {"skipped_files": {r.path: _reason(r) for r in skipped_files}} if skipped else {}
        show_json(told | listed)
    elif skipped:
        for skipped_file in skipped_files:
            show(one_line(f"{skipped_file.path}: {_reason(skipped_file)}"))
    else:
        parts = []
        for part in told.pop("segment_list"):
            how = f", {part['settings']}, recall {part['recall']:.3f}" if part["settings"] else ""
            parts.append(f"{part['keys']} {part['kind']}{how}")
        told["segments"] = "; ".join(parts)
        for name, value in told.items():
            value = ", ".join(value) if isinstance(value, list) else value
            show(one_line(f"{name.replace('_', ' '):13} {value}"))


def _reason(skipped_file: "SkippedFile") -> str:
    return skipped_file.reason or "not a picture"


def _tell_photos(index: str, photos: list[str], json: bool) -> None:
    from indexes import Index
    from mocosearch.errors import NotFound

    with Index.open(index) as opened:
        told = []
        for photo in photos:
            path = abspath(expanduser(photo))
            facts = opened.facts(path)
            if facts is None:
                raise NotFound(f"the index does not know {path}", "run: mocosearch index FOLDER")
            told.append({"path": path} | facts)
    if json:
        show_json(told)
        return
    for facts in told:
        for name, value in facts.items():
            if value not in (None, "", [], False):
                show(one_line(f"{name.replace('_', ' '):13} {_words(value)}"))


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
