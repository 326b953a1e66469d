"""mocosearch compact: an index in the smallest file."""

from cli.common import IndexName, Json
from cli.display import say, show_json


def compact(
    index: IndexName = "default",
    json: Json = False,
) -> None:
    """Write an index's file anew without the room that is free in it; answers stay the same.

    Example: mocosearch compact
    """
    from indexes import Index
    from mocosearch.home import not_found_error, path_of

    folder = path_of("indexes", index)
    if not Index.exists(index):
        raise not_found_error("indexes", folder)
    with Index.create(folder, None) as opened:
        saved = opened.compact()
    size = (folder / "data.mdb").stat().st_size
    say(f"{saved / 1e6:.1f} MB saved, {size / 1e6:.1f} MB left")
    if json:
        show_json({"saved": saved, "bytes": size})
