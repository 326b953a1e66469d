"""mocosearch indexes: the indexes in the home folder."""

from typing import Any

from cli.common import Json
from cli.display import one_line, say, show, show_json, warn

FACTS = ("images", "skipped", "encoder", "bytes", "roots")


def indexes(
    json: Json = False,
) -> None:
    """List the indexes in the home folder, with their photos, size and folders.

    Example: mocosearch indexes
    """
    from indexes import open_reader
    from mocosearch.errors import MocosearchError
    from mocosearch.home import names

    rows: list[dict[str, Any]] = []
    for name in names("indexes"):
        try:
            with open_reader(name) as opened:
                facts = opened.info()
        except MocosearchError as error:
            warn(one_line(f"{name}: {error}"))
            continue
        rows.append({"name": name} | {fact: facts[fact] for fact in FACTS})
    if json:
        show_json({"indexes": rows})
        return
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB"
        roots = one_line(", ".join(row["roots"]))
        show(f"{one_line(row['name']):20} {row['images']} photos, {size}, {roots}")
    if not rows:
        say("no indexes yet; create one with: mocosearch index PHOTOS")
