"""mocosearch duplicates: groups of near-identical pictures. It lists, and never deletes."""

import csv
import io
import shlex
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import IndexName, Json, require_photos
from cli.display import finish, one_line, say, show, show_json, show_raw, warn, warn_skipped

if TYPE_CHECKING:
    from indexes import Index
    from indexes.duplicates.groups import Group, Member
    from mocosearch.photos import Picture

SCRIPT_HEAD = "#!/bin/sh\n# Made by mocosearch duplicates. Read it before you run it.\nset -eu\n"
COLUMNS = "group,score,keep,width,height,format,bytes,path"


Folder = Annotated[
    str | None, typer.Argument(metavar="[FOLDER]", help="Only photos in this folder.")
]
Against = Annotated[
    bool, typer.Option("--against", help="Compare FOLDER, new photos, with the whole collection.")
]
Threshold = Annotated[
    float, typer.Option(metavar="X", min=0.0, max=1.0, help="Lowest cosine of two copies' keys.")
]
Turned = Annotated[
    bool, typer.Option("--turned", help="Find turned and mirrored copies too; reads the files.")
]
Keep = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The file of a group to keep: largest, oldest or best-format [default: largest].",
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="GROUP", help="Remember that the files of this group are not copies."),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]
Print0 = Annotated[
    bool,
    typer.Option("-0", "--print0", help="Print the paths not to keep, each ended by a zero byte."),
]
Script = Annotated[
    bool, typer.Option("--script", help="Print a shell script that removes the other files.")
]


def duplicates(
    folder: Folder = None,
    index: IndexName = "default",
    against: Against = False,
    threshold: Threshold = 0.9,
    turned: Turned = False,
    keep: Keep = None,
    ignore: Ignore = None,
    json: Json = False,
    as_csv: Csv = False,
    print0: Print0 = False,
    script: Script = False,
) -> None:
    """List pictures that are in the collection more than once.

    Every file of a group is a copy of the file to keep. Nothing is ever deleted: --script prints
    the commands, for you to read and run. Files that are missing or have changed since they were
    indexed are left out.

    Example: mocosearch duplicates --keep oldest --script > remove.sh
    """
    start = time.perf_counter()
    output = _output(json, as_csv, print0, script)
    _check(folder, against, turned, keep)
    from mocosearch.photos.scan import roots_of

    roots = roots_of([folder]) if folder is not None else []
    skipped: dict[str, str] = {}
    changed: set[str] = set()
    with _opened(index, writable=bool(ignore)) as opened:
        if against:
            photos = new_photos(roots, opened.encoder.side, skipped)
            groups = list(opened.copies_of(photos, threshold, roots, changed))
        else:
            groups = _groups(opened, roots, threshold, turned, keep, changed)
        if ignore:
            opened.ignore(ignore, groups)
            groups = [group for group in groups if group.name not in ignore]
    seconds = time.perf_counter() - start
    warn_skipped(skipped)
    if changed:
        warn(
            "left out, missing, unreadable or changed since they were indexed: "
            f"{len(changed)} files; next: mocosearch index FOLDER"
        )
    _show(groups, output, against, seconds)
    finish(False, len(skipped))


def _output(json: bool, as_csv: bool, print0: bool, script: bool) -> str:
    """The name of the only output option given, or text."""
    options = {"json": json, "csv": as_csv, "print0": print0, "script": script}
    names = [name for name, value in options.items() if value]
    if len(names) > 1:
        raise typer.BadParameter("--json, --csv, --print0 and --script exclude each other")
    return names[0] if names else "text"


def _check(folder: str | None, against: bool, turned: bool, keep: str | None) -> None:
    """Raises typer.BadParameter for options that exclude each other."""
    if keep not in (None, "largest", "oldest", "best-format"):
        raise typer.BadParameter(f"--keep {keep}: write largest, oldest or best-format")
    if against and turned:
        raise typer.BadParameter("--turned compares the collection with itself, not --against it")
    if against and keep:
        raise typer.BadParameter("with --against the collection's file is kept, there is no --keep")
    if against and folder is None:
        raise typer.BadParameter("--against needs a folder of new photos")


def _opened(name: str, writable: bool) -> "Index":
    """The index. Raises NotFound, and NoPhotos where it is empty."""
    from indexes import Index

    index = Index.open(name, writable=writable)
    try:
        require_photos(index)
    except BaseException:
        index.close()
        raise
    return index


def _groups(
    index: "Index",
    roots: list[str],
    threshold: float,
    turned: bool,
    keep: str | None,
    changed: set[str],
) -> "list[Group]":
    from indexes import Where

    for root in roots:
        _check_known(index, root)
    return index.duplicates(
        threshold, Where(under=tuple(roots)), turned=turned, keep=keep or "largest", changed=changed
    )


def _show(groups: "Sequence[Group]", output: str, against: bool, seconds: float) -> None:
    """The groups on stdout, and for people a summary on stderr."""
    if output == "json":
        show_json({"groups": [plain(group) for group in groups], "seconds": seconds})
        return
    if output == "csv":
        show(COLUMNS)
    for number, group in enumerate(groups):
        if output == "csv":
            for member in group.members:
                show_raw(row(group, member), b"\n")
        elif output == "print0":
            for member in others(group, against):
                show_raw(member.path, b"\0")
        elif output == "script":
            _show_script(group, against, head=number == 0)
        else:
            _show_group(group)
    files = sum(len(group.members) for group in groups)
    say(f"{len(groups)} groups of copies, {files} files, in {seconds:.1f} s")


def new_photos(
    roots: list[str], side: int, skipped: dict[str, str]
) -> "Iterator[tuple[str, int, bytes, Picture]]":
    """The photos below some folders, with size and digest; `skipped` gets the others."""
    from mocosearch.photos import Photo, read_photos, scan

    for found, outcome in read_photos(list(scan(roots)), side):
        if isinstance(outcome, Photo):
            yield found.path, found.size, outcome.digest, outcome.picture
        elif outcome is not None:
            skipped[found.path] = outcome


def others(group: "Group", against: bool) -> "Sequence[Member]":
    """What need not be kept: of a new photo and the collection, the new photo alone."""
    return group.members[:1] if against else [m for m in group.members if m is not group.keep]


def plain(group: "Group") -> dict[str, Any]:
    """A group for JSON."""
    paths = [member.path for member in group.members]
    return {"name": group.name, "score": group.score, "keep": group.keep.path, "paths": paths}


def row(group: "Group", member: "Member") -> str:
    """One file of a group as comma-separated values."""
    text = io.StringIO()
    r = member.record
    facts = [r.width, r.height, r.format, r.size]
    keeps = "yes" if member is group.keep else "no"
    words = [group.name, f"{group.score:.4f}", keeps, *facts, member.path]
    # With this end, names that hold either of its characters are quoted.
    csv.writer(text, lineterminator="\r\n").writerow(words)
    return text.getvalue().removesuffix("\r\n")


def _check_known(index: "Index", folder: str) -> None:
    """Raises NotFound for a folder of which the index can hold nothing."""
    from mocosearch.errors import NotFound
    from mocosearch.photos.scan import unicode_forms

    if not any(map(index.roots.reach, unicode_forms(folder))):
        places = ", ".join(sorted(index.roots.places.values()))
        raise NotFound(
            f"{folder} lies in no folder of this index",
            f"its folders: {places}; --against compares other photos with them",
        )


def _show_group(group: "Group") -> None:
    show(f"{group.name}  {len(group.members)} files, {group.score:.3f}")
    for member in group.members:
        r = member.record
        mark = "keep" if member is group.keep else ""
        size = f"{r.width}x{r.height}"
        show(
            f"  {mark:4}  {size:>10}  {r.format:4}  {r.size / 1e6:6.1f} MB  {one_line(member.path)}"
        )


def _show_script(group: "Group", against: bool, head: bool) -> None:
    if head:
        show(SCRIPT_HEAD.rstrip("\n"))
    spare = [member.path for member in others(group, against)]
    for line in script_of(group.name, group.score, group.keep.path, spare):
        show_raw(line, b"\n")


def script_of(name: str, score: float, keep: str, spare: Sequence[str]) -> Iterator[str]:
    """The lines of the script that remove some files of a group."""
    # A name with a line break must not leave its comment.
    yield f"# {name} {score:.3f}: keeps {one_line(keep)}"
    for path in spare:
        # Either may have gone since, or become a link to the other.
        one, other = shlex.quote(keep), shlex.quote(path)
        check = f"[ -e {one} ] && [ -e {other} ] && ! [ {one} -ef {other} ]"
        yield f"if {check}; then rm -- {other}; fi"
