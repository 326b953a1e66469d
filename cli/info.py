"""mocosearch info: the contents of an index."""

from os.path import abspath, expanduser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import IndexName, Json
from cli.display import one_line, show, show_json

if TYPE_CHECKING:
    from indexes.store.records import SkippedFile


def info(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Photos to describe.")
    ] = None,
    index: IndexName = "default",
    skipped: Annotated[
        bool, typer.Option("--skipped", help="List the files without a key, with the reason.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the contents of an index, or what it stores about single photos.

    Example: mocosearch info --skipped
    """
    from indexes import Index

    if photos:
        _show_photos(index, photos, json)
        return
    with Index.open(index) as opened:
        facts = opened.info()
        files = opened.skipped_files() if skipped else []
    if json:
        extra = {"skipped_files": {file.path: _reason(file) for file in files}} if skipped else {}
        show_json(facts | extra)
    elif skipped:
        for file in files:
            show(one_line(f"{file.path}: {_reason(file)}"))
    else:
        facts["segments"] = "; ".join(map(_segment, facts.pop("segment_list")))
        for name, value in facts.items():
            _show_fact(name, value)


def _segment(segment: dict[str, Any]) -> str:
    settings, recall = segment["settings"], segment["recall"]
    details = f", {settings}, recall {recall:.3f}" if settings else ""
    return f"{segment['keys']} {segment['kind']}{details}"


def _reason(file: "SkippedFile") -> str:
    return file.reason or "not a picture"


def _show_photos(index: str, photos: list[str], json: bool) -> None:
    from indexes import Index
    from mocosearch.errors import NotFound

    with Index.open(index) as opened:
        documents = []
        for photo in photos:
            path = abspath(expanduser(photo))
            facts = opened.facts(path)
            if facts is None:
                raise NotFound(f"{path} is not in the index", "run: mocosearch index FOLDER")
            documents.append({"path": path} | facts)
    if json:
        show_json(documents)
        return
    for document in documents:
        for name, value in document.items():
            if value or (value == 0 and value is not False):
                _show_fact(name, value)


def _show_fact(name: str, value: Any) -> None:
    text = ", ".join(map(str, value)) if isinstance(value, list) else value
    show(one_line(f"{name.replace('_', ' '):13} {text}"))
