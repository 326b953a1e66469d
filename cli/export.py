"""mocosearch export: an index as plain files."""

from pathlib import Path
from typing import Annotated

import typer

from cli.common import Json, ReaderName, reading
from cli.display import say, show, show_json


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the files.")],
    index: ReaderName = "default",
    json: Json = False,
) -> None:
    """Write keys, records and a FAISS index as plain files for other programs.

    Example: mocosearch export photos-as-files
    """
    with reading(index) as opened:
        names = opened.export(folder.absolute())
    if "photos.parquet" not in names:
        say("no Parquet file: to get one, pip install 'mocosearch[export]'")
    if json:
        show_json({"files": [str(folder.absolute() / name) for name in names]})
    else:
        for name in names:
            show(str(folder / name))
