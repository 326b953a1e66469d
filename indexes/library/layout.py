"""The folder of a library: `library.json`, the encoder, the manifests and the shards."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from indexes.search.kinds import Template
from indexes.store.locks import LOCK as WRITER_LOCK
from indexes.store.place import DATA, LIBRARY
from mocosearch.errors import Damaged, NotFound, StorageFailed, Unsuitable

FORMAT = 1
ENCODER = "encoder"
SHARDS = "shards"
PLANS = "plans"
TEMPLATE, SETTINGS = "template.faiss", "template.json"
BUILDING = ".building"
"""The folder of shards that are not complete yet."""
BLOCK = 1 << 40
"""Ids of one planned shard: from its number times BLOCK on. Every id of a library is below 2**53,
which JSON numbers of other programs hold exactly."""
MOST_SHARDS = (1 << 13) - 1


@dataclass(frozen=True)
class ShardPlan:
    """A shard of a library, built or not.

    numbers: of the planned shards whose photos it holds, several after a merge. plan: the number
    of the manifest that lists its files. files: how many those are.
    """

    name: str
    numbers: Sequence[int]
    plan: int
    files: int


@dataclass(frozen=True)
class Layout:
    """What `library.json` says.

    encoder: the fingerprint of the encoder of all shards. kind and recall: as of `Index.configure`.
    folders: what was planned, absolute. next_number: of the next shard; numbers are not reused.
    """

    encoder: str
    kind: str
    recall: float
    folders: Sequence[str] = ()
    exclude: Sequence[str] = ()
    shards: Sequence[ShardPlan] = ()
    next_number: int = 0
    format: int = field(default=FORMAT, kw_only=True)

    def shard(self, name: str) -> ShardPlan:
        """The shard of a name or a number. Raises NotFound."""
        for shard in self.shards:
            if shard.name == name or (name.isdecimal() and shard.name == shard_name(int(name))):
                return shard
        names = [shard.name for shard in self.shards]
        hint = f"there are {names[0]} to {names[-1]}" if names else "plan some first"
        raise NotFound(f"no shard {name}", hint)

    def with_shards(self, shards: Sequence[ShardPlan]) -> "Layout":
        """The same with other shards."""
        return replace(self, shards=tuple(shards))

    def save(self, folder: Path) -> None:
        """Write it, whole or not at all. Raises StorageFailed."""
        write_whole(folder / LIBRARY, json.dumps(asdict(self), indent=1).encode())


def check_place(folder: Path) -> None:
    """Raises Unsuitable where a new library would share its folder with other files."""
    own = {ENCODER, PLANS, WRITER_LOCK}
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = sorted(name for name in names if name not in own and not name.startswith("."))
    if others or folder.is_file():
        raise Unsuitable(f"{folder} is not empty and no library", "name a new folder")


def is_library(folder: Path) -> bool:
    """Whether a folder is a library."""
    return (folder / LIBRARY).is_file()


def load_layout(folder: Path) -> Layout:
    """What a library consists of. Raises NotFound and Damaged."""
    try:
        stored: Mapping[str, Any] = json.loads((folder / LIBRARY).read_bytes())
        version = int(stored["format"])
    except FileNotFoundError:
        raise NotFound(
            f"no library at {folder}", "make one: mocosearch library plan PHOTOS --library DIR"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder) from error
    if version != FORMAT:
        raise Damaged(
            f"the library at {folder} has format {version}, this mocosearch reads {FORMAT}",
            "update mocosearch",
        )
    try:
        shards = tuple(
            ShardPlan(**{**shard, "numbers": tuple(shard["numbers"])}) for shard in stored["shards"]
        )
        return Layout(**{**stored, "shards": shards})
    except (KeyError, TypeError) as error:
        raise _damaged(folder) from error


def _damaged(folder: Path) -> Damaged:
    return Damaged(f"{folder / LIBRARY} cannot be read", "copy it again from an undamaged library")


def shard_name(number: int) -> str:
    """The name of a planned shard."""
    return f"{number:05}"


def shard_folder(folder: Path, shard: str) -> Path:
    """Where a complete shard is."""
    return folder / SHARDS / shard


def is_complete(folder: Path, shard: str) -> bool:
    """Whether a shard is built."""
    return (shard_folder(folder, shard) / DATA).is_file()


def manifest_path(folder: Path, plan: int) -> Path:
    """The manifest of a plan."""
    return folder / PLANS / f"{plan:04}.parquet"


def load_template(folder: Path) -> Template | None:
    """The trained lists that the first shard has left; None where there are none."""
    try:
        facts = json.loads((folder / SETTINGS).read_bytes())
        return Template(facts["kind"], facts["settings"], (folder / TEMPLATE).read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save_template(folder: Path, template: Template) -> None:
    """Store the lists for later shards. Raises StorageFailed."""
    write_whole(folder / TEMPLATE, template.empty)
    write_whole(folder / SETTINGS, json.dumps(template.facts()).encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all. Raises StorageFailed."""
    with replacing(path) as part, open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside a path, to be written; it then takes its place. Raises StorageFailed, and the
    file at the path stays as it was.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageFailed(
            f"cannot write {path}: {error.strerror or error}", "free some disk space there"
        ) from error
