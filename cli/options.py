"""The options of `query`: names, values and help texts."""

from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE...",
        help="Picture files or folders of them; cat.jpg:2 has twice the weight; - reads stdin; "
        "@NAME asks a look.",
    ),
]
Top = Annotated[int, typer.Option("-k", "--top", metavar="N", min=1, help="Number of results.")]
MinScore = Annotated[
    str | None,
    typer.Option(metavar="X", help="Lowest score; auto leaves out results that may be chance."),
]
Minus = Annotated[
    list[str] | None,
    typer.Option(metavar="IMAGE", help="Find photos unlike this picture; repeatable."),
]
CropRegion = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="Search with a region of the image: x,y,w,h in pixels, or 10%,0%,50%,50%.",
    ),
]
Part = Annotated[
    bool,
    typer.Option(
        "--part", help="Find photos of which the image is a part, and where it is in them."
    ),
]
Align = Annotated[
    bool,
    typer.Option(
        "--align",
        help="As --part, for a page of these photos by date, each laid onto the image.",
    ),
]
Turned = Annotated[
    bool, typer.Option("--turned", help="Try the image in all 8 orientations, turned and mirrored.")
]

Inside = Annotated[
    list[str] | None,
    typer.Option("--in", metavar="FOLDER", help="Only photos in this folder; repeatable."),
]
Outside = Annotated[
    list[str] | None,
    typer.Option("--not-in", metavar="FOLDER", help="No photos in this folder; repeatable."),
]
Taken = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Date taken: 2019, 2019..2021-06 or 2020-08-03.. (open)."),
]
Near = Annotated[
    str | None,
    typer.Option(
        metavar="LAT,LON,KM", help="Place taken: latitude,longitude,distance: 48.1,11.6,5km."
    ),
]
Camera = Annotated[str | None, typer.Option(metavar="TEXT", help="Part of the camera's name.")]
Format = Annotated[str | None, typer.Option(metavar="NAME", help="Format: jpeg, heic or png.")]
MinSide = Annotated[int, typer.Option(metavar="N", min=0, help="Least pixels of the shorter side.")]

New = Annotated[
    bool, typer.Option("--new", help="Of a look: only photos added since it was last asked.")
]
Sort = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Order of these results: taken (photos without a date last), score or path.",
    ),
]
Reverse = Annotated[
    bool,
    typer.Option("--reverse", help="The opposite order; photos without a date stay last."),
]
All = Annotated[bool, typer.Option("--all", help="List every file; otherwise copies share a line.")]
Interactive = Annotated[
    bool, typer.Option("--interactive", "-i", help="Stay open to refine the search.")
]
Paths = Annotated[bool, typer.Option("--paths", help="Print only paths.")]
Print0 = Annotated[
    bool, typer.Option("-0", "--print0", help="Print only paths, each followed by a zero byte.")
]
Preview = Annotated[
    bool, typer.Option("--preview", help="Show the results as pictures in the terminal.")
]
Gallery = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the results to one HTML page with pictures."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page of results in the browser.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Print without colours.")]
