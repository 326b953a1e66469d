"""mocosearch export: an index as plain files."""

from pathlib import Path
from typing import Annotated

import typer

from cli.common import IndexName, Json
from cli.display import say, show, show_json


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the files.")],
    index: IndexName = "default",
    json: Json = False,
) -> None:
    """Write keys, records and a FAISS index as files that other programs read.

    Example: mocosearch export photos-as-files
    """
    from indexes import Index

    with Index.open(index) as opened:
        names = opened.export(folder.absolute())
    if "photos.parquet" not in names:
        say("no Parquet file: pip install 'mocosearch[export]' adds what it needs")
    if json:
        show_json({"files": [str(folder.absolute() / name) for name in names]})
    else:
        for name in names:
            show(str(folder / name))
