"""mocosearch export: an index as files for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from cli.common import Json, ReaderName, reading
from cli.display import say, show, show_json


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the files.")],
    index: ReaderName = "default",
    format: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="plain, parquet, clip-retrieval, faiss, pgvector or qdrant.",
        ),
    ] = "plain",
    json: Json = False,
) -> None:
    """Write keys and records as files for other programs.

    Example: mocosearch export photos-as-files --format clip-retrieval
    """
    with reading(index) as opened:
        names = opened.export(folder.absolute(), format)
    if format == "plain" and "photos.parquet" not in names:
        say("no Parquet file: to get one, pip install 'mocosearch[export]'")
    if json:
        show_json({"files": [str(folder.absolute() / name) for name in names]})
    else:
        for name in names:
            show(str(folder / name))
