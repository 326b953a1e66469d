"""mocosearch encoders export: an encoder as files for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.common import Json, reading
from cli.display import show, show_json

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or path of the encoder.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="New folder for the files.")]
Format = Annotated[
    Literal["onnx", "timm"],
    typer.Option(
        metavar="NAME",
        help="onnx: from pixels to keys in one file. timm: the network alone, for its local-dir:.",
    ),
]
Index = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="onnx: with the whitening that this index or library has fitted."
    ),
]


def export_encoder(
    name: Name, folder: Folder, format: Format = "onnx", index: Index = None, json: Json = False
) -> None:
    """Write an encoder as files for other programs. Needs PyTorch.

    Example: mocosearch encoders export default encoder-files --index default
    """
    from mocosearch.errors import Unsuitable
    from mocosearch.home import path_of
    from mocosearch.requirements import require_torch

    if index is not None and format != "onnx":
        raise typer.BadParameter("--index goes with --format onnx only")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Unsuitable(f"{folder} is not empty", "name a new folder")
    require_torch()
    source = path_of("encoders", name)
    if format == "timm":
        from mocosearch.formats.timm import write_timm

        write_timm(source, folder)
    else:
        _write_onnx(source, folder, index)
    names = sorted(str(path) for path in folder.iterdir())
    if json:
        show_json({"files": names})
    else:
        for one in names:
            show(one)


def _write_onnx(source: Path, folder: Path, index: str | None) -> None:
    from mocosearch.encoder import Encoder
    from mocosearch.formats.onnx import write_onnx

    encoder = Encoder.open(source)
    whitened = None
    if index is not None:
        with reading(index) as opened:
            whitened = opened.encoder
    folder.mkdir(parents=True, exist_ok=True)
    write_onnx(source, folder / "encoder.onnx", whitened)
    (folder / "card.json").write_text((whitened or encoder).card.to_json(), encoding="utf-8")
