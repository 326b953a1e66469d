"""mocosearch duplicates --against: new photos beside the collection, with proof of each copy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.display import finish, one_line, progress, say, show, show_json, show_raw, warn_skipped
from cli.duplicates import plain, show_for_programs, size_of

if TYPE_CHECKING:
    from indexes import Reader
    from indexes.duplicates.against import Comparison, Copy
    from indexes.store.records import Record
    from mocosearch.photos import Picture


@dataclass
class Comparisons:
    """New photos and their copies; and the files that were not compared: those that cannot be read,
    with the reason, and the number of those that are not pictures.
    """

    photos: "list[Comparison]" = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    not_pictures: int = 0

    def copies(self) -> "list[Comparison]":
        """The photos that the collection has."""
        return [photo for photo in self.photos if photo.copies]

    def missing(self) -> "list[Comparison]":
        """The photos that it does not have."""
        return [photo for photo in self.photos if not photo.copies]


def compare(
    index: "Reader", roots: list[str], threshold: float, ignore: list[str], changed: set[str]
) -> Comparisons:
    """Compare the photos below some folders with an index."""
    result = Comparisons()
    photos = _read(roots, index.encoder.side, result)
    result.photos.extend(index.compare(photos, threshold, roots, changed))
    if ignore:
        index.ignore(ignore, [photo.group for photo in result.copies()])
        left = [p for p in result.photos if not (p.copies and p.group.name in ignore)]
        result.photos = left
    return result


def _read(
    roots: list[str], side: int, result: Comparisons
) -> "Iterator[tuple[str, int, bytes, Picture]]":
    """The photos below some folders, with size and digest; the other files go to the result."""
    from mocosearch.photos import Photo, read_photos, scan

    files = list(scan(roots))
    with progress() as bar:
        for number, (file, outcome) in enumerate(read_photos(files, side)):
            bar("comparing", number / len(files), f"{number} of {len(files)} files")
            if isinstance(outcome, Photo):
                yield file.path, file.size, outcome.digest, outcome.picture
            elif outcome is None:
                result.not_pictures += 1
            else:
                result.skipped[file.path] = outcome


def show_comparisons(result: Comparisons, output: str, missing: bool, seconds: float) -> None:
    """The missing photos, or those with copies, on stdout; for people a summary on stderr.

    Raises typer.Exit with code 3 where files were skipped.
    """
    warn_skipped(result.skipped)
    if output == "json":
        show_json(_document(result, missing) | {"seconds": seconds})
    elif missing:
        for photo in result.missing():
            _show_path(photo.new.path, output)
    elif output == "text":
        for photo in result.copies():
            _show_proof(photo)
    else:
        some = [photo for photo in result.copies() if output == "csv" or not photo.smaller]
        show_for_programs(((photo.group, [photo.new]) for photo in some), output)
    if output != "json":
        _summarise(result, missing, seconds)
    finish(False, len(result.skipped))


def _document(result: Comparisons, missing: bool) -> dict[str, Any]:
    others = {
        "skipped": [{"path": path, "reason": why} for path, why in result.skipped.items()],
        "not_pictures": result.not_pictures,
    }
    if missing:
        return {"missing": [photo.new.path for photo in result.missing()], **others}
    groups = [plain(photo.group) | _proof(photo) for photo in result.copies()]
    return {"groups": groups, **others}


def _proof(photo: "Comparison") -> dict[str, Any]:
    """What shows that a new photo is in the collection, for JSON."""
    return {
        "new": {"path": photo.new.path} | _facts(photo.new.record),
        "smaller": photo.smaller,
        "copies": [
            {
                "paths": [file.path for file in copy.files],
                "score": copy.score,
                "agreement": copy.agreement,
                "turned": copy.orientation != 0,
            }
            | _facts(copy.record)
            for copy in photo.copies
        ],
    }


def _facts(record: "Record") -> dict[str, Any]:
    return {
        "width": record.width,
        "height": record.height,
        "format": record.format,
        "bytes": record.size,
    }


def _show_path(path: str, output: str) -> None:
    if output == "text":
        show(one_line(path))
    else:
        show_raw(path, b"\0" if output == "print0" else b"\n")


def _show_proof(photo: "Comparison") -> None:
    note = "  (all copies have fewer pixels)" if photo.smaller else ""
    show(f"{photo.group.name}  {size_of(photo.new.record)}  {one_line(photo.new.path)}{note}")
    for copy in photo.copies:
        for file in copy.files:
            show(
                f"  {_words(copy):18}  {copy.score:.3f}  {size_of(file.record)}  "
                f"{one_line(file.path)}"
            )


def _words(copy: "Copy") -> str:
    return copy.agreement + (", turned" if copy.orientation else "")


def _summarise(result: Comparisons, missing: bool, seconds: float) -> None:
    copies, photos = result.copies(), result.photos
    count = len(photos) - len(copies) if missing else len(copies)
    state = "not in the collection" if missing else "in the collection"
    say(f"{count} of {len(photos)} photos are {state}, in {seconds:.1f} s")
    _say_not_compared(result)
    smaller = sum(photo.smaller for photo in copies)
    if smaller and not missing:
        say(
            f"{smaller} of them only with fewer pixels: --paths, --print0 and --script leave them "
            "out"
        )


def _say_not_compared(result: Comparisons) -> None:
    if result.not_pictures:
        say(f"not compared: {result.not_pictures} files that are not pictures, such as videos")
