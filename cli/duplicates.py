"""mocosearch duplicates: groups of near-identical pictures. It lists, and never deletes."""

import csv
import io
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import Json, ReaderName, reading, require_photos
from cli.display import one_line, say, show, show_json, show_raw, warn

if TYPE_CHECKING:
    from indexes import Reader, Where
    from indexes.duplicates.groups import Group, Member
    from indexes.store.records import Record

SCRIPT_HEAD = "#!/bin/sh\n# Made by mocosearch duplicates. Read it before you run it.\nset -eu\n"
COPIES, BURSTS = 0.9, 0.5
"""Default thresholds."""
COLUMNS = "group,score,keep,width,height,format,bytes,path"


Folder = Annotated[
    str | None, typer.Argument(metavar="[FOLDER]", help="Only photos in this folder.")
]
Against = Annotated[
    bool, typer.Option("--against", help="Compare FOLDER, new photos, with the whole collection.")
]
Missing = Annotated[
    bool,
    typer.Option("--missing", help="With --against: list the photos that have no copy in it."),
]
Bursts = Annotated[
    bool,
    typer.Option("--bursts", help="Group photos taken within seconds, and name the sharpest."),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        min=0.0,
        max=1.0,
        help="Lowest cosine of two copies' keys [default: 0.9], or of two photos of a burst [0.5].",
    ),
]
Turned = Annotated[
    bool, typer.Option("--turned", help="Find turned and mirrored copies too; reads the files.")
]
Parts = Annotated[
    bool,
    typer.Option("--parts", help="List the photos that are parts of others, and where; slow."),
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
Paths = Annotated[
    bool, typer.Option("--paths", help="Print only the paths not to keep, or the missing ones.")
]
Print0 = Annotated[
    bool, typer.Option("-0", "--print0", help="The same, each path followed by a zero byte.")
]
Script = Annotated[
    bool, typer.Option("--script", help="Print a shell script that removes the other files.")
]


def duplicates(
    folder: Folder = None,
    index: ReaderName = "default",
    against: Against = False,
    missing: Missing = False,
    bursts: Bursts = False,
    threshold: Threshold = None,
    turned: Turned = False,
    parts: Parts = False,
    keep: Keep = None,
    ignore: Ignore = None,
    json: Json = False,
    as_csv: Csv = False,
    paths: Paths = False,
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
    output = _output(json, as_csv, paths, print0, script)
    _check(folder, against, turned, keep)
    _check_lists(against, missing, bursts, bool(turned or keep), bool(ignore), output)
    _check_parts(parts, against or bursts or turned or bool(keep or ignore), output)
    from mocosearch.photos.scan import roots_of

    least = (BURSTS if bursts else COPIES) if threshold is None else threshold
    roots = roots_of([folder]) if folder is not None else []
    if parts:
        _show_parts(index, roots, output, start)
        return
    changed: set[str] = set()
    with reading(index, writable=bool(ignore)) as opened:
        require_photos(opened)
        if against:
            from cli.against import compare, show_comparisons

            comparisons = compare(opened, roots, least, ignore or [], changed)
            shows = partial(show_comparisons, comparisons, output, missing)
        elif bursts:
            from cli.bursts import show_bursts

            series = opened.bursts(least, _where(opened, roots), changed)
            shows = partial(show_bursts, series, output)
        else:
            where, best = _where(opened, roots), keep or "largest"
            groups = opened.duplicates(least, where, turned=turned, keep=best, changed=changed)
            if ignore:
                opened.ignore(ignore, groups)
            left = [group for group in groups if group.name not in (ignore or [])]
            shows = partial(_show, left, output)
    _warn_changed(changed)
    shows(time.perf_counter() - start)


def _output(json: bool, as_csv: bool, paths: bool, print0: bool, script: bool) -> str:
    """The name of the only output option given, or text."""
    options = {"json": json, "csv": as_csv, "paths": paths, "print0": print0, "script": script}
    names = [name for name, value in options.items() if value]
    if len(names) > 1:
        raise typer.BadParameter("--json, --csv, --paths, --print0 and --script exclude each other")
    return names[0] if names else "text"


def _check(folder: str | None, against: bool, turned: bool, keep: str | None) -> None:
    """Raises typer.BadParameter for options that exclude each other."""
    if keep not in (None, "largest", "oldest", "best-format"):
        raise typer.BadParameter(f"--keep {keep}: write largest, oldest or best-format")
    if against and turned:
        raise typer.BadParameter("--against finds turned copies without --turned")
    if against and keep:
        raise typer.BadParameter("with --against the collection's file is kept, there is no --keep")
    if against and folder is None:
        raise typer.BadParameter("--against needs a folder of new photos")


def _check_lists(
    against: bool, missing: bool, bursts: bool, groups: bool, ignore: bool, output: str
) -> None:
    """Raises typer.BadParameter for options that do not go with --missing or --bursts."""
    if missing and not against:
        raise typer.BadParameter("--missing needs a folder and --against")
    if missing and (ignore or output in ("csv", "script")):
        raise typer.BadParameter("--missing excludes --ignore, --csv and --script")
    if bursts and (against or groups or ignore):
        raise typer.BadParameter("--bursts excludes --against, --turned, --keep and --ignore")
    if bursts and output not in ("text", "json"):
        # The other photos of a burst are no copies: nothing here helps to delete them unseen.
        raise typer.BadParameter("--bursts prints text or --json only: look before you delete")


def _check_parts(parts: bool, others: bool, output: str) -> None:
    """Raises typer.BadParameter for options that do not go with --parts."""
    if parts and (others or output in ("csv", "script")):
        raise typer.BadParameter("--parts goes with FOLDER, --json, --paths and -0 only")


def _show_parts(name: str, roots: list[str], output: str, start: float) -> None:
    from cli.duplicate_parts import show_parts

    with reading(name) as opened:
        require_photos(opened)
        show_parts(opened.part_index, roots, output, start)


def _warn_changed(paths: set[str]) -> None:
    if paths:
        warn(
            "left out, missing, unreadable or changed since they were indexed: "
            f"{len(paths)} files; next: mocosearch index FOLDER"
        )


def _where(index: "Reader", roots: list[str]) -> "Where":
    """What lies below some folders; everything if there are none. Raises NotFound."""
    from indexes import Where

    for root in roots:
        _check_known(index, root)
    return Where(under=tuple(roots))


def _show(groups: "Sequence[Group]", output: str, seconds: float) -> None:
    """The groups on stdout, and for people a summary on stderr."""
    if output == "json":
        show_json({"groups": [plain(group) for group in groups], "seconds": seconds})
        return
    if output == "text":
        for group in groups:
            _show_group(group)
    else:
        others = ((group, [m for m in group.members if m is not group.keep]) for group in groups)
        show_for_programs(others, output)
    files = sum(len(group.members) for group in groups)
    say(f"{len(groups)} groups of copies, {files} files, in {seconds:.1f} s")


def show_for_programs(groups: "Iterable[tuple[Group, Sequence[Member]]]", output: str) -> None:
    """Groups with the files that need not be kept, as csv, paths, print0 or script."""
    if output == "csv":
        show(COLUMNS)
    for number, (group, others) in enumerate(groups):
        if output == "csv":
            for member in group.members:
                show_raw(row(group, member), b"\n")
        elif output == "script":
            _show_script(group, others, head=number == 0)
        else:
            for member in others:
                show_raw(member.path, b"\0" if output == "print0" else b"\n")


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


def _check_known(index: "Reader", folder: str) -> None:
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
        mark = "keep" if member is group.keep else ""
        show(f"  {mark:4}  {size_of(member.record)}  {one_line(member.path)}")


def size_of(record: "Record") -> str:
    """Pixels, format and bytes of a photo, as columns."""
    size = f"{record.width}x{record.height}"
    return f"{size:>10}  {record.format:4}  {record.size / 1e6:6.1f} MB"


def _show_script(group: "Group", others: "Sequence[Member]", head: bool) -> None:
    if head:
        show(SCRIPT_HEAD.rstrip("\n"))
    spare = [member.path for member in others]
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
