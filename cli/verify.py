"""mocosearch verify: whether an index is as it was written."""

from typing import Annotated

import typer

from cli.common import IndexName, Json
from cli.display import say, show, show_json


def verify(
    index: IndexName = "default",
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Rebuild the search indexes from the stored keys first."),
    ] = False,
    json: Json = False,
) -> None:
    """Check every entry, key and search index for damage. Exits with 1 if there is any.

    Example: mocosearch verify --repair
    """
    from indexes import Index
    from indexes.verify import check
    from mocosearch.home import not_found_error, path_of

    folder = path_of("indexes", index)
    if not Index.exists(index):
        raise not_found_error("indexes", folder)
    if repair:
        with Index.create(folder, None) as opened:
            say(f"search indexes rebuilt from {opened.repair()} keys")
    report = check(folder)
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
