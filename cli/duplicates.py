"""mocosearch duplicates: groups of near-identical pictures. It lists, and never deletes."""

import csv
import io
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.display import ended, one_line, say, say_refused, show, show_json, show_raw

if TYPE_CHECKING:
    from indexes.duplicates import Group, Member
    from mocosearch.photos import Picture

BEST_FORMATS = ("TIFF", "PNG", "BMP", "HEIF", "AVIF", "JPEG2000", "WEBP", "JPEG", "MPO", "GIF")
"""From the least lossy on; others come last."""
COLUMNS = "group,score,keep,width,height,format,bytes,path"


def duplicates(
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="Only photos in this folder.")
    ] = None,
    index: Annotated[str, typer.Option(help="Name or path of the index.")] = "default",
    against: Annotated[
        bool,
        typer.Option("--against", help="Compare FOLDER, new photos, with the whole collection."),
    ] = False,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Least cosine of two copies.")
    ] = 0.9,
    turned: Annotated[
        bool, typer.Option("--turned", help="Find turned and mirrored copies too; reads files.")
    ] = False,
    keep: Annotated[
        str, typer.Option(help="The file of a group to keep: largest, oldest or best-format.")
    ] = "largest",
    ignore: Annotated[
        list[str] | None, typer.Option(help="Remember that this group is no group of copies.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table with commas.")] = False,
    print0: Annotated[
        bool,
        typer.Option("-0", "--print0", help="Print the paths not to keep, each with a zero byte."),
    ] = False,
    script: Annotated[
        bool, typer.Option("--script", help="Print a shell script that removes what is not kept.")
    ] = False,
) -> None:
    """List pictures that are in the collection more than once.

    Keys and perceptual hashes must both agree. Nothing is ever deleted: --script prints the
    commands, which you may read and run.

    Example: mocosearch duplicates --keep oldest --script > remove.sh
    """
    begun = time.perf_counter()
    if keep not in ("largest", "oldest", "best-format"):
        raise typer.BadParameter(f"--keep {keep}: write largest, oldest or best-format")
    if sum([json, as_csv, print0, script]) > 1:
        raise typer.BadParameter("--json, --csv, --print0 and --script exclude each other")
    if against and turned:
        raise typer.BadParameter("--turned compares the collection with itself, not --against it")
    if against and folder is None:
        raise typer.BadParameter("--against needs a folder of new photos")
    from cli.search import check_filled
    from indexes import Index, Where
    from indexes.duplicates import against as compare
    from indexes.duplicates import groups
    from indexes.duplicates import ignore as remember
    from mocosearch.photos.scan import roots_of

    roots = roots_of([folder]) if folder is not None else []
    refused: dict[str, str] = {}
    opening = Index.create(index, None) if ignore and Index.exists(index) else Index.open(index)
    with opening as opened:
        check_filled(opened)
        if against:
            photos = new_photos(roots, opened.encoder.side, refused)
            found = list(compare(opened, photos, threshold, roots))
        else:
            where = Where(under=tuple(roots)) if roots else None
            found = groups(opened, threshold, where, turned)
        if ignore:
            remember(opened, ignore, found)
            found = [group for group in found if group.name not in ignore]
    # Of a new photo and the collection, the collection's is the one that is there to stay.
    chosen = [group.members[1] if against else kept(group, keep) for group in found]
    seconds = time.perf_counter() - begun
    say_refused(refused)
    if json:
        document = [plain(g, k.path) for g, k in zip(found, chosen, strict=True)]
        show_json({"groups": document, "seconds": seconds})
        ended(False, len(refused))
        return
    if as_csv:
        show(COLUMNS)
    for number, (group, keeper) in enumerate(zip(found, chosen, strict=True)):
        if as_csv:
            show_raw(table(group, keeper.path), b"\n")
        elif print0:
            for member in others(group, keeper, against):
                show_raw(member.path, b"\0")
        elif script:
            _show_script(group, keeper, against, head=number == 0)
        else:
            _show_group(group, keeper)
    files = sum(len(group.members) for group in found)
    say(f"{len(found)} groups of copies, {files} files, in {seconds:.1f} s")
    ended(False, len(refused))


def new_photos(
    roots: list[str], side: int, refused: dict[str, str]
) -> "Iterator[tuple[str, int, bytes, Picture]]":
    """The photos below some folders, with size and digest; `refused` gets the others."""
    from mocosearch.photos import Content, outcomes, scan

    for found, outcome in outcomes(list(scan(roots)), side):
        if isinstance(outcome, Content):
            yield found.path, found.size, outcome.digest, outcome.picture
        elif outcome is not None:
            refused[found.path] = outcome


def kept(group: "Group", how: str) -> "Member":
    """The member to keep, of those that are still there; on a tie the first by path."""

    def pixels(member: "Member") -> tuple[int, int]:
        return -member.record.width * member.record.height, -member.record.size

    def worth(member: "Member") -> tuple[Any, ...]:
        record = member.record
        if how == "oldest":
            return record.taken or "9999", pixels(member), member.path
        if how == "best-format":
            known = record.format in BEST_FORMATS
            place = BEST_FORMATS.index(record.format) if known else len(BEST_FORMATS)
            return place, pixels(member), member.path
        return pixels(member), member.path

    there = [member for member in group.members if os.path.exists(member.path)]
    return min(there or group.members, key=worth)


def others(group: "Group", keeper: "Member", against: bool) -> "Sequence[Member]":
    """What need not be kept: of a new photo and the collection, the new photo alone."""
    return group.members[:1] if against else [m for m in group.members if m is not keeper]


def plain(group: "Group", keep: str) -> dict[str, Any]:
    """A group for JSON."""
    paths = [member.path for member in group.members]
    return {"name": group.name, "score": group.score, "keep": keep, "paths": paths}


def table(group: "Group", keep: str) -> str:
    """A group as lines of comma-separated values, without the last line's end."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for member in group.members:
        r = member.record
        facts = [r.width, r.height, r.format, r.size]
        keeps = "yes" if member.path == keep else "no"
        lines.writerow([group.name, f"{group.score:.4f}", keeps, *facts, member.path])
    return text.getvalue().rstrip("\n")


def _show_group(group: "Group", keeper: "Member") -> None:
    show(f"{group.name}  {len(group.members)} files, {group.score:.3f}")
    for member in group.members:
        r = member.record
        mark = "keep" if member is keeper else ""
        size = f"{r.width}x{r.height}"
        show(
            f"  {mark:4}  {size:>10}  {r.format:4}  {r.size / 1e6:6.1f} MB  {one_line(member.path)}"
        )


def _show_script(group: "Group", keeper: "Member", against: bool, head: bool) -> None:
    if head:
        show("#!/bin/sh\n# Made by mocosearch duplicates. Read it before you run it.\nset -eu")
    # A name with a line break must not leave its comment.
    show(f"# {group.name} {group.score:.3f}: keeps {one_line(keeper.path)}")
    for member in others(group, keeper, against):
        # What is kept may have gone since it was indexed.
        keep, spare = shlex.quote(keeper.path), shlex.quote(member.path)
        show_raw(f"if [ -e {keep} ]; then rm -- {spare}; fi", b"\n")
