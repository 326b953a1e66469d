"""mocosearch info: the contents of an index."""

from os.path import abspath, expanduser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import Json, ReaderName, reading
from cli.display import one_line, show, show_json

if TYPE_CHECKING:
    from indexes.store.records import SkippedFile


def info(
    photos: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Photos to describe.")
    ] = None,
    index: ReaderName = "default",
    skipped: Annotated[
        bool, typer.Option("--skipped", help="List the files without a key, with the reason.")
    ] = False,
    copies: Annotated[
        bool,
        typer.Option(
            "--copies",
            help="Photos with one copy only, or on unplugged disks only, and totals per disk. "
            "Copies have the same content, or the same size and pixels with other metadata.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Show the contents of an index, or what it stores about single photos.

    Example: mocosearch info --skipped
    """
    if copies and (photos or skipped):
        raise typer.BadParameter("--copies goes with --index and --json only")
    if copies:
        _show_copies(index, json)
        return
    if photos:
        _show_photos(index, photos, json)
        return
    with reading(index) as opened:
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


def _show_copies(index: str, json: bool) -> None:
    from dataclasses import asdict

    with reading(index) as opened:
        redundancy = opened.redundancy()
    if json:
        show_json(asdict(redundancy))
        return
    _show_fact("photos", redundancy.photos)
    _show_fact("one copy only", len(redundancy.single))
    _show_fact("unplugged", f"{len(redundancy.unplugged)} are on unplugged disks only")
    for head, places in (("disk", redundancy.disks), ("root", redundancy.roots)):
        show(f"\n{'files':>8}  {'photos':>8}  {'MB':>10}  {'only here':>9}  {head}")
        for place in places:
            note = "" if place.available else "  (unplugged)"
            show(
                f"{place.files:8}  {place.photos:8}  {place.bytes / 1e6:10.1f}  "
                f"{place.only_here:9}  {one_line(place.path)}{note}"
            )


def _show_photos(index: str, photos: list[str], json: bool) -> None:
    from mocosearch.errors import NotFound

    with reading(index) as opened:
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
