"""mocosearch verify: whether an index is as it was written."""

from typing import Annotated

import typer

from cli.common import Json, ReaderName
from cli.display import say, show, show_json


def verify(
    index: ReaderName = "default",
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="First rebuild the search indexes, and restore a damaged encoder."
        ),
    ] = False,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="With --repair: the encoder that the index was created with [default: starter].",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check every entry, key and search index for damage. Exits with 1 if there is any.

    Of a library, every shard is checked.

    Example: mocosearch verify --repair
    """
    from indexes import Index
    from indexes.opening import exists
    from indexes.verify import check_all, index_folders
    from mocosearch.home import not_found_error, path_of

    folder = path_of("indexes", index)
    if not exists(index):
        raise not_found_error("indexes", folder)
    if encoder and not repair:
        raise typer.BadParameter("--encoder goes with --repair only")
    for one in index_folders(folder) if repair else ():
        with Index.create(one, None) as opened:
            say(f"search indexes rebuilt from {opened.repair()} keys")
            if opened.restore_encoder(encoder or "starter"):
                say("encoder restored")
    report = check_all(folder)
    if json:
        whole = not report.faults
        show_json({"faults": report.faults, "unchecked": report.unchecked, "whole": whole})
    else:
        for fault in report.faults or [f"{folder}: no damage found"]:
            show(fault)
        for part in report.unchecked:
            show(f"not checked: {part}")
    if report.faults:
        raise typer.Exit(1)
