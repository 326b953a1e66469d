"""mocosearch verify: whether an index is as it was written."""

from typing import Annotated

import typer

from cli.common import IndexName, Json
from cli.display import say, show, show_json


def verify(
    index: IndexName = "default",
    repair: Annotated[
        bool, typer.Option("--repair", help="Build the search indexes again from the stored keys.")
    ] = False,
    json: Json = False,
) -> None:
    """Check that an index is whole: every entry, key and search index. Ends with 1 if it is not.

    Example: mocosearch verify --repair
    """
    from indexes import Index
    from indexes.verify import faults
    from mocosearch.home import not_found_error, path_of

    folder = path_of("indexes", index)
    if not Index.exists(index):
        raise not_found_error("indexes", folder)
    if repair:
        with Index.create(folder, None) as opened:
            say(f"search indexes built again from {opened.repair()} keys")
    found = faults(folder)
    if json:
        show_json({"faults": found, "whole": not found})
    else:
        for fault in found or [f"{folder} is whole"]:
            show(fault)
    if found:
        raise typer.Exit(1)
