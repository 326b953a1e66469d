"""mocosearch indexes: what the home holds."""

from typing import Any

from cli.common import Json
from cli.display import one_line, say, show, show_json, warn


def indexes(
    json: Json = False,
) -> None:
    """List the indexes, and how many photos each holds.

    Example: mocosearch indexes
    """
    from indexes import Index
    from mocosearch.errors import MocosearchError
    from mocosearch.home import names

    listed: list[dict[str, Any]] = []
    for name in names("indexes"):
        try:
            with Index.open(name) as opened:
                told = opened.info()
        except MocosearchError as error:
            warn(one_line(f"{name}: {error}"))
            continue
        facts = ("images", "skipped", "encoder", "bytes", "roots")
        listed.append({"name": name} | {fact: told[fact] for fact in facts})
    if json:
        show_json({"indexes": listed})
        return
    for one in listed:
        size = f"{one['bytes'] / 1e6:.1f} MB"
        roots = one_line(", ".join(one["roots"]))
        show(f"{one_line(one['name']):20} {one['images']} photos, {size}, {roots}")
    if not listed:
        say("no indexes yet; make one with: mocosearch index PHOTOS")
