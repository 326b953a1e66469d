"""mocosearch info: what an index holds."""

from typing import Annotated

import typer

from cli.display import show, show_json


def info(
    index: Annotated[str, typer.Option(help="Name or path of the index.")] = "default",
    refused: Annotated[
        bool, typer.Option("--refused", help="List the files without a key, with the reason.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what an index holds.

    Example: mocosearch info --refused
    """
    from indexes import Index

    with Index.open(index) as opened:
        told = opened.info()
        refusals = [r for r in opened.refusals() if r.reason is not None] if refused else []
    if json:
        listed = {"refused_files": {r.path: r.reason for r in refusals}} if refused else {}
        show_json(told | listed)
    elif refused:
        for refusal in refusals:
            show(f"{refusal.path}: {refusal.reason}")
    else:
        parts = []
        for part in told.pop("segment_list"):
            how = f", {part['settings']}, recall {part['recall']:.3f}" if part["settings"] else ""
            parts.append(f"{part['keys']} {part['kind']}{how}")
        told["segments"] = "; ".join(parts)
        for name, value in told.items():
            value = ", ".join(value) if isinstance(value, list) else value
            show(f"{name.replace('_', ' '):13} {value}")
