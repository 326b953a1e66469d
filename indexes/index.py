"""An index: an encoder, the keys of the photos, and everything that changes them."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from indexes.migrate import open_store
from indexes.reader import Reader
from indexes.search import merging
from indexes.search.answer import Answer
from indexes.search.filters import Where
from indexes.search.inputs import PathLike, PathOrPaths, paths_of
from indexes.search.snapshot import Snapshot, Snapshots
from indexes.store import roots
from indexes.store.encoder import load_encoder, save_encoder
from indexes.store.environment import FORMAT, Store
from indexes.store.place import DATA, check_place
from indexes.store.records import Keys
from indexes.store.txn import Txn
from indexes.sync.counts import Counts, Progress
from mocosearch.encoder import Encoder
from mocosearch.errors import Damaged
from mocosearch.home import not_found_error, path_of
from mocosearch.photos.squares import Crop

if TYPE_CHECKING:
    from indexes.duplicates.groups import Group
    from indexes.duplicates.parts import Part
    from indexes.parts.search import Decode
    from indexes.sync.update import Changes, UpdateReport
    from mocosearch.encoder.regions import Regions

T = TypeVar("T")


class Index(Reader):
    """A folder with everything in it that a query needs, the encoder included.

    Each thread reads a snapshot of its own, from its first query on; `refresh` moves it on to
    what has been committed since. Any number of threads may query and add. Use it as a context
    manager, or call `close`; while `close`, `compact` or `renew` runs, no other thread may use the
    index. Open an index once per process, and not across a fork.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._turn = threading.RLock()
        """Held while a thread of this process changes the index."""
        self._encoder: tuple[bytes, Encoder] | None = None
        self._parts: Regions | None = None
        self._snapshots = Snapshots(store)

    @classmethod
    def open(cls, name: str | os.PathLike[str], *, writable: bool = False) -> Self:
        """For queries, and with `writable` for changes too, which one program may make at a time.

        name: of an index in the home, or a path; a Path is always a path. An index of an older
        format is migrated first, whole or not at all. Raises NotFound, Damaged, StorageFailed,
        Busy.
        """
        folder = _folder(name)
        if not (folder / DATA).is_file():
            raise not_found_error("indexes", folder)
        if writable:
            return cls(open_store(folder, wait=False))
        store = Store(folder, writable=False)
        if store.version != FORMAT:
            store.close()
            open_store(folder, wait=True).close()
            store = Store(folder, writable=False)
        return cls(store)

    @classmethod
    def create(
        cls,
        name: str | os.PathLike[str],
        encoder: Encoder | None,
        *,
        wait: bool = False,
        by_default: bool = False,
    ) -> Self:
        """For changes; where there is no index yet, it is created with the encoder's graph.

        wait: until no other program changes it. by_default: nobody chose the encoder, and another
        one may take its place until the first photo is stored. Raises Busy otherwise, Mismatch
        where the index was made with another encoder, Unsuitable where the folder holds other
        things, Damaged, StorageFailed.
        """
        folder = _folder(name)
        check_place(folder)
        index = cls(open_store(folder, wait=wait, encoder=encoder, by_default=by_default))
        try:
            if encoder is not None:
                save = partial(save_encoder, encoder=encoder, by_default=by_default)
                index.store.write(save)
        except BaseException:
            index.close()
            raise
        return index

    @staticmethod
    def exists(name: str | os.PathLike[str]) -> bool:
        """Whether there is an index of this name or at this path."""
        return (_folder(name) / DATA).is_file()

    # Reading

    @property
    def folder(self) -> Path:
        """Where the index is."""
        return self.store.folder

    @property
    def snapshot(self) -> Snapshot:
        """What this thread reads; it ends with the thread, with `refresh` or with `close`."""
        return self._snapshots.current()

    @property
    def txn(self) -> Txn:
        """The transaction that this thread reads."""
        return self.snapshot.txn

    def refresh(self) -> None:
        """Read what is committed now, in this thread; results of earlier queries stay valid.

        If another program has compacted the index or given it another encoder, that is read once
        every thread has called this.
        """
        if self._snapshots.refresh():
            self._encoder = None

    def refresh_all(self) -> None:
        """`refresh` for every thread at once; meanwhile no other thread may use the index."""
        if self._snapshots.refresh_all():
            self._encoder = None

    @property
    def newest_version(self) -> str:
        """What `snapshot.version` would be after a `refresh`. Raises StorageFailed."""
        return self.store.newest_version()

    @property
    def encoder(self) -> Encoder:
        """The encoder that made the keys, from the index itself."""
        version, cached = self.snapshot.encoder_version, self._encoder
        if cached is None or cached[0] != version:
            cached = self._encoder = version, load_encoder(self.txn)
        return cached[1]

    def open_segments(self) -> None:
        """See `Reader.open_segments`."""
        _ = self.snapshot.segments

    @property
    def has_parts(self) -> bool:
        """Whether there are keys of regions, for `find_part`."""
        return bool(self.snapshot.regions)

    @property
    def part_index(self) -> "Index":
        """See `Reader.part_index`."""
        return self

    def prepare_parts(self) -> None:
        """Load the encoder for regions and OpenVINO's part of it in another thread; otherwise the
        first `find_part` does it.
        """
        regions = self._regions
        threading.Thread(target=regions.prepare_quietly, daemon=True).start()
        _ = self.snapshot.regions

    def find_part(
        self,
        image: PathLike | bytes,
        k: int = 10,
        *,
        crop: Crop | None = None,
        where: Where | None = None,
        min_score: float | None = None,
        significant_only: bool = False,
        fold: bool = True,
        thorough: bool = False,
        decode: "Decode | None" = None,
    ) -> Answer:
        """The k best photos of which a picture is a part, mirrored or not.

        image: a picture's path or bytes. crop: the region of it that is searched for; otherwise it
        is all inside borders of one colour. The 200 photos with the nearest regions are
        compared by local features (`indexes.parts.verification`), until one clearly agrees, or all
        of them with `thorough`. Those that agree come first and have `region` and `agreeing`. The
        score is the cosine of the nearest region. The rest is as of `answer`, and `significant`
        those with `verification.CLEAR` agreeing features or more. decode: reads the photos, by
        default in this process.

        Raises Unsuitable for an index without keys of regions and without OpenCV, and what
        `question` raises for a file and `answer` for the rest.
        """
        from indexes.parts.search import answer, check, decode_file, trimmed

        check(self.snapshot)
        picture, frame = trimmed(image, crop)
        options = min_score, significant_only, fold, thorough, decode or decode_file
        return self._up_to_date(
            lambda: answer(
                self.snapshot, self._regions, picture, frame, k, self._resolve(where), *options
            )
        )

    @property
    def _regions(self) -> "Regions":
        from mocosearch.encoder.regions import Regions

        if self._parts is None or self._parts.encoder is not self.encoder:
            self._parts = Regions(self.encoder)
        return self._parts

    def _up_to_date(self, search: Callable[[], T]) -> T:
        """The result of a search, repeated if another program has overwritten the snapshot."""
        while True:
            try:
                result = search()
                if not self.store.is_overtaken(self.txn):
                    return result
            except Damaged:
                if not self.store.is_overtaken(self.txn):
                    raise
            self.refresh()

    def parts(
        self,
        where: Where | None = None,
        report: Callable[[int, int], None] = lambda done, total: None,
    ) -> "Iterator[Part]":
        """Photos that are parts of others, with their places: see `indexes.duplicates.parts`."""
        from indexes.duplicates.parts import parts

        return parts(self.snapshot, self._regions, self._resolve(where), report)

    # Changing

    def ignore(self, names: str | Sequence[str], groups: "Sequence[Group]") -> None:
        """See `Reader.ignore`."""
        from indexes.duplicates.ignored import ignore

        with self._change():
            ignore(self.store, [names] if isinstance(names, str) else names, groups)

    @contextmanager
    def _change(self) -> Iterator[Encoder]:
        """This thread's turn to change the index; no snapshot of the thread stays open meanwhile,
        because that would keep every page that is freed, and the file would grow.
        """
        with self._turn:
            self.refresh()
            encoder = self.encoder
            self.refresh()
            yield encoder
            self.refresh()

    def sync(
        self,
        folders: PathOrPaths,
        *,
        exclude: str | Sequence[str] = (),
        retry: bool = False,
        workers: int | None = None,
        prune: bool = False,
        report: Callable[[Progress], None] = lambda progress: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Counts:
        """Make the index equal to the folders; photos of other folders stay.

        exclude: patterns of names and paths to leave out; photos that match are removed from the
        index too. retry: read skipped files again although they have not changed. workers:
        processes that decode, one per core by default. prune: remove the photos of a known folder
        that is missing or empty. stopped: asked between batches; once true, what has been read is
        committed and the rest is left for another run.

        Raises NotFound for a folder that is missing, or disappears meanwhile, and StorageFailed;
        what was committed before stays.
        """
        from indexes.sync.sync import sync_folders

        with self._change() as encoder:
            return sync_folders(
                self.store,
                encoder,
                paths_of(folders),
                exclude=[exclude] if isinstance(exclude, str) else exclude,
                retry=retry,
                workers=workers,
                prune=prune,
                report=report,
                stopped=stopped,
            )

    def remove(self, folder: str | os.PathLike[str]) -> int:
        """Remove a root, or a folder below one; returns how many photos were removed.

        Raises NotFound where the index has no such folder, and StorageFailed.
        """
        from indexes.sync.sync import remove_folder

        with self._change():
            return remove_folder(self.store, folder)

    def add(
        self,
        files: PathOrPaths,
        keys: Keys | None = None,
        encoder: Encoder | None = None,
    ) -> list[int]:
        """Give some files keys, all of them or none; returns their ids. They are searched at once.

        keys: float32 (n, d), brought to unit length; then no file is read, and a name need not be
        a file's. encoder: the one that made the keys, where that is to be checked. A later `sync`
        of a folder above them follows the files that exist. Raises NotFound and Unreadable for a
        file that is not a picture, Mismatch and Unsuitable for other keys, StorageFailed.
        """
        from indexes.sync.add import add

        with self._change() as own:
            return add(self.store, own, paths_of(files), keys, encoder)

    def move(self, old: str | os.PathLike[str], new: str | os.PathLike[str]) -> None:
        """Record that the folders in `old` are in `new` now, as after another mount; reads nothing.

        Raises NotFound where no folder of the index is in `old`.
        """
        places = roots.absolute(old), roots.absolute(new)
        with self._change():
            self.store.write(lambda txn: roots.move(txn, *places))

    def configure(self, kind: str | None = None, recall: float | None = None) -> None:
        """Choose the kind of FAISS index and the recall that approximate ones are tuned to.

        kind: `auto` or a factory string of FAISS; None leaves either unchanged. Takes effect when
        photos are next indexed, or with `merge`. Raises Unsuitable, with FAISS's reason.
        """
        from indexes.sync.update import configure

        with self._change():
            configure(self.store, kind, recall)

    def merge(self, *, everything: bool = False) -> bool:
        """Merge the segments that should be merged, or all; returns whether any was. Results stay
        the same. Raises StorageFailed.
        """
        from indexes.parts import store as parts

        with self._change():
            return parts.merge(self.store, everything=everything)

    def renew(
        self,
        encoder: Encoder,
        *,
        workers: int | None = None,
        prune: bool = False,
        report: Callable[[Progress], None] = lambda progress: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Counts:
        """Give every photo a new key by another encoder; ids are new ones, too.

        Until the end the index stays unchanged, and where `stopped` becomes true, it remains so:
        the same call continues where it was. Deleted files are left out, changed ones are read
        again. Raises NotFound where a folder of the index is missing and `prune` is not given,
        Unsuitable where the kind does not go with the new keys, and StorageFailed.
        """
        from indexes.generation import renew

        with self._change():
            return renew(
                self.store,
                encoder,
                self._replace,
                workers=workers,
                prune=prune,
                report=report,
                stopped=stopped,
            )

    def update(
        self,
        changes: "Changes",
        encoder: Encoder | None = None,
        *,
        discard_blank: bool = False,
        report: Callable[[Progress], None] = lambda progress: None,
        stopped: Callable[[], bool] = lambda: False,
        notice: Callable[[str], None] = lambda line: None,
    ) -> "UpdateReport":
        """Make all changes of one run, as `mocosearch index` does: see `indexes.sync.update`.

        discard_blank: close and remove the index if it holds no picture at the end, whatever the
        end is; for one that was created just now.
        """
        from indexes.generation import renew
        from indexes.sync.update import is_blank, update

        def new_keys(encoder: Encoder) -> Counts:
            return renew(
                self.store,
                encoder,
                self._replace,
                workers=changes.workers,
                prune=changes.prune,
                report=report,
                stopped=stopped,
            )

        try:
            with self._change():
                return update(
                    self.store,
                    changes,
                    encoder,
                    new_keys,
                    report=report,
                    stopped=stopped,
                    notice=notice,
                )
        finally:
            if discard_blank and is_blank(self.store):
                self.discard()

    def compact(self) -> int:
        """Write the file again without its free pages; returns the bytes saved.

        Results stay the same. Raises StorageFailed; then the old file stays, and this is closed.
        """
        from indexes.parts import store as parts

        with self._change():
            data = self.store.folder / DATA
            before = data.stat().st_size
            parts.merge(self.store)
            self._replace(lambda to: self.store.env.copy(os.fspath(to), compact=True))
            return before - data.stat().st_size

    def repair(self) -> int:
        """Build every FAISS index again from the stored keys; returns how many keys there are.

        Raises Damaged where the stored keys themselves cannot be read, and StorageFailed.
        """
        from indexes.parts import store as parts

        with self._turn:
            self.refresh()
            self.store.write(parts.repair)
            count = merging.rebuild(self.store)
            self.refresh()
            return count

    def restore_encoder(self, source: str | os.PathLike[str] = "starter") -> bool:
        """Restore the index's own encoder if it is damaged; returns whether it was.

        source: the encoder that the index was created with. Raises NotFound, StorageFailed, and
        Damaged where that is another one.
        """
        from indexes.restore import restore_encoder

        with self._turn:
            self._encoder = None
            return restore_encoder(self.store, source)

    def _replace(self, make: Callable[[Path], None]) -> None:
        """Put another environment in this one's place: see `Store.replace`."""
        with self._snapshots.suspend():
            self._encoder = None
            self.store.replace(make)

    def close(self) -> None:
        """End every snapshot and the environment."""
        with self._snapshots.suspend():
            self.store.close()

    def discard(self) -> None:
        """Close, and remove the index before another program can change it."""
        with self._snapshots.suspend():
            self.store.discard()


def _folder(name: str | os.PathLike[str]) -> Path:
    return Path(name) if isinstance(name, Path) else path_of("indexes", os.fspath(name))
