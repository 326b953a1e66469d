"""mocosearch compact: the smallest file for an index."""

from cli.common import IndexName, Json
from cli.display import say, show_json


def compact(
    index: IndexName = "default",
    json: Json = False,
) -> None:
    """Rewrite the file of an index without unused space. Results stay the same.

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
