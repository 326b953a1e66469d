"""mocosearch library: many indexes read as one, for collections beyond one machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import Json, common
from cli.display import (
    finish,
    interruptible,
    one_line,
    progress,
    say,
    show,
    show_json,
    warn_skipped,
)

if TYPE_CHECKING:
    from indexes.library.layout import Layout
    from indexes.sync.counts import Counts, Progress
    from mocosearch.encoder import Encoder

library = typer.Typer(
    help="Many indexes read as one, for collections beyond one machine.",
    epilog="Example: mocosearch library plan /photos --library /shared/library --shards 8, then "
    "mocosearch library build --library /shared/library, then "
    "mocosearch query photo.jpg --index /shared/library",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Photos = Annotated[
    list[str], typer.Argument(metavar="PHOTOS...", help="Folders of photos, subfolders included.")
]
Folder = Annotated[
    str, typer.Option("--library", metavar="NAME", help="Name or path of the library.")
]
Shards = Annotated[int, typer.Option(metavar="N", min=1, help="Number of new shards.")]
EncoderName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Encoder of a new library, name or path [default: default, or starter].",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Leave out matching names or paths; can be repeated."),
]
Kind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Of a new library: kind of search index, auto (by size) or a FAISS factory string.",
    ),
]
Recall = Annotated[
    float | None,
    typer.Option(
        metavar="SHARE",
        help="Of a new library: share of the nearest photos that a large index must find [0.98].",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Decoding processes [default: one per core]."),
]
Shard = Annotated[
    list[str] | None,
    typer.Option(
        metavar="I",
        help="Number of a shard to build; can be repeated [default: all that are not built].",
    ),
]
Scratch = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder on a local disk for a shard until it is complete [default: in the library].",
    ),
]
OnRay = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Build the shards as tasks of Ray: local, or the address of a cluster.",
    ),
]
Below = Annotated[
    int, typer.Option(metavar="PHOTOS", min=1, help="Merge the shards with fewer photos.")
]


@library.command("plan")
@common
def plan_library(
    photos: Photos,
    library: Folder = "library",
    shards: Shards = 1,
    encoder: EncoderName = None,
    exclude: Exclude = None,
    kind: Kind = None,
    recall: Recall = None,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Plan which photos belong to which shard; the first plan makes the library.

    The first plan also fits the encoder's whitening on a random sample of at most 4,096 photos,
    and fixes encoder, kind and recall. Planning again makes new shards of the new and changed
    photos only.

    Example: mocosearch library plan /photos --library /shared/library --shards 8
    """
    from indexes.library.layout import is_library
    from indexes.library.planning import Request, plan
    from mocosearch.home import path_of

    folder = path_of("indexes", library)
    opened = _encoder(encoder, new=not is_library(folder))
    request = Request(photos, shards, kind, recall, exclude or (), workers)
    with progress() as bar:
        report = plan(folder, request, opened, lambda what, share: bar(what, share, ""))
    unreadable = report.scan_report.unreadable
    warn_skipped(dict.fromkeys(unreadable, "this folder cannot be read") | report.skipped)
    say(f"{report.new} new photos, {report.changed} changed, {len(report.shards)} new shards")
    names = [shard.name for shard in report.shards]
    if json:
        counts = {"new": report.new, "changed": report.changed, "sample": report.sample}
        show_json({"library": str(folder), "shards": names} | counts)
    else:
        for shard in report.shards:
            show(f"{shard.name}  {shard.files} files")
    finish(False, len(unreadable))


def _encoder(name: str | None, new: bool) -> "Encoder | None":
    from mocosearch.encoder import Encoder
    from mocosearch.home import names

    if name is None and new:
        name = "default" if "default" in names("encoders") else "starter"
    return None if name is None else Encoder.open(name)


@library.command("build")
@common
def build_library(
    library: Folder = "library",
    shard: Shard = None,
    scratch: Scratch = None,
    workers: Workers = None,
    ray: OnRay = None,
    json: Json = False,
) -> None:
    """Build shards. Each becomes visible when it is complete; those that are built are skipped.

    Ctrl-C keeps every finished batch. A build that was stopped or killed is continued by the same
    command. Several machines may build different shards at the same time. With --ray, --workers is
    the number of cores for each shard [1].

    Example: mocosearch library build --library /shared/library --shard 3
    """
    from indexes.library.layout import load_layout
    from mocosearch.home import path_of

    folder = path_of("indexes", library)
    names = _names(folder, load_layout(folder), shard)
    if ray is not None and names:
        results = _build_on_ray(folder, names, ray, scratch, workers or 1)
    else:
        results = _build(folder, names, scratch, workers)
    _show_counts(results, json)


def _build(
    folder: Path, names: list[str], scratch: Path | None, workers: int | None
) -> "dict[str, Counts]":
    from indexes.library.build import build_shard

    results: dict[str, Counts] = {}
    with progress() as bar, interruptible() as stopped:
        for number, name in enumerate(names):

            def report(at: "Progress", number: int = number, name: str = name) -> None:
                share = (number + at.done / max(at.total, 1)) / len(names)
                bar("library", share, f"shard {name}, {at.rate:.0f} photos/s")

            results[name] = build_shard(
                folder, name, scratch=scratch, workers=workers, report=report, stopped=stopped
            )
            if results[name].interrupted:
                break
    return results


def _build_on_ray(
    folder: Path, names: list[str], address: str, scratch: Path | None, cores: int
) -> "dict[str, Counts]":
    from indexes.library.cluster import build_on_ray
    from indexes.library.layout import load_layout

    layout = load_layout(folder)
    files = max(1, sum(layout.shard(name).files for name in names))
    with progress() as bar, interruptible() as stopped:

        def report(done: int, total: int) -> None:
            bar("library", done / files, f"{done} of {files} files")

        return build_on_ray(
            folder, names, address, scratch=scratch, cores=cores, report=report, stopped=stopped
        )


def _names(folder: Path, layout: "Layout", shards: list[str] | None) -> list[str]:
    """The shards to build. Raises NotFound for one that is not planned."""
    from indexes.library.layout import is_complete

    if shards:
        return [layout.shard(one).name for one in shards]
    return [one.name for one in layout.shards if not is_complete(folder, one.name)]


def _show_counts(results: "dict[str, Counts]", json: bool) -> None:
    reasons = {path: why for one in results.values() for path, why in one.reasons.items()}
    warn_skipped(reasons)
    rows: list[dict[str, Any]] = [
        {"shard": name, "embedded": one.embedded, "skipped": one.skipped, "seconds": one.seconds}
        for name, one in results.items()
    ]
    if json:
        show_json({"shards": rows})
    for row in rows:
        say("shard {shard}: {embedded} embedded, {skipped} skipped, {seconds:.1f} s".format(**row))
    if not rows:
        say("every shard is built")
    finish(any(one.interrupted for one in results.values()), len(reasons))


@library.command("status")
@common
def show_status(library: Folder = "library", json: Json = False) -> None:
    """List the shards: how many photos each has, and whether it is built.

    Example: mocosearch library status --library /shared/library
    """
    from indexes.library.build import photos_so_far
    from indexes.library.layout import is_complete, load_layout
    from mocosearch.home import path_of

    folder = path_of("indexes", library)
    layout = load_layout(folder)
    rows: list[dict[str, Any]] = []
    for shard in layout.shards:
        photos, built = photos_so_far(folder, shard), is_complete(folder, shard.name)
        state = "built" if built else "begun" if photos else "planned"
        rows.append({"shard": shard.name, "state": state, "photos": photos, "files": shard.files})
    if json:
        facts = {"encoder": layout.encoder, "kind": layout.kind, "folders": list(layout.folders)}
        show_json({"library": str(folder), "shards": rows} | facts)
        return
    for row in rows:
        show("{shard}  {state:8}  {photos} photos of {files} files".format(**row))
    built_count = sum(row["state"] == "built" for row in rows)
    say(one_line(f"{built_count} of {len(rows)} shards are built, of {', '.join(layout.folders)}"))


@library.command("merge")
@common
def merge_library(library: Folder = "library", below: Below = 100_000, json: Json = False) -> None:
    """Merge small shards into one. No photo is read.

    The library is not to be built or planned meanwhile. Programs that read it continue.

    Example: mocosearch library merge --library /shared/library --below 100000
    """
    from indexes.library.merge import merge_shards
    from mocosearch.home import path_of

    with progress() as bar:
        merged = merge_shards(
            path_of("indexes", library),
            below,
            lambda done, total: bar("merge", done / max(total, 1), f"{done} of {total} photos"),
        )
    if json:
        show_json({"shard": None if merged is None else merged.name})
    elif merged is not None:
        show(merged.name)
    say("nothing to merge" if merged is None else f"merged into shard {merged.name}")
