"""Further indexes, for comparisons: a few are open at a time."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from cli.web.collection import Collection
from cli.web.http.errors import RequestError
from mocosearch.home import names, path_of

MOST = 2
THREADS = 1


class Others:
    """Indexes of the home by name; other folders are not opened."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Collection] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str, own: Path) -> Collection:
        """An index as it is now. own: that of the server, which is no other one. Raises
        RequestError for an unknown name, Damaged, StorageFailed.
        """
        if name not in names("indexes") or path_of("indexes", name) == own:
            raise RequestError(404, f"there is no other index {name}", "see encoders of /v1/info")
        with self._lock:
            if name not in self._open:
                while len(self._open) >= MOST:
                    self._open.popitem(last=False)[1].end()
                self._open[name] = Collection(path_of("indexes", name), THREADS)
            self._open.move_to_end(name)
            collection = self._open[name]
        collection.follow()
        return collection

    def close(self) -> None:
        """See `Collection.close`."""
        for collection in self._open.values():
            collection.close()

    def end(self) -> None:
        """See `Collection.end`."""
        while self._open:
            self._open.popitem()[1].end()
