"""The figures of a run as TensorBoard's scalars.

Needs tensorboard, which the extra `tensorboard` installs. The module imports no torch.
"""

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mocosearch.errors import MissingPackage, StorageFailed, Unsuitable
from mocosearch.photos.scan import is_within
from mocosearch.requirements import is_installed

_OPTION = "--tensorboard"


def check(folder: str | os.PathLike[str], roots: Sequence[str]) -> Path:
    """Create the folder for TensorBoard's files and check that it can be used; returns its path.

    roots: absolute paths of the photo folders.

    Raises MissingPackage if TensorBoard is not installed, Unsuitable for a folder inside a photo
    folder, StorageFailed if the folder cannot be written.
    """
    if not is_installed("tensorboard"):
        raise MissingPackage(
            f"{_OPTION}: TensorBoard is not installed", "pip install 'mocosearch[tensorboard]'"
        )
    folder = Path(folder).expanduser()
    paths = {os.path.abspath(folder), os.path.realpath(folder)}
    photos = {*roots, *map(os.path.realpath, roots)}
    if any(is_within(path, root) for path in paths for root in photos):
        raise Unsuitable(f"{_OPTION} {folder} lies in a photo folder", "choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageFailed(
            f"{_OPTION}: cannot write to {folder}: {error.strerror}", "choose another folder"
        ) from error
    return folder


class Scalars:
    """Writes figures to a folder of TensorBoard's files.

    lines: the figures of the run so far. TensorBoard shows them in place of all that the folder
        holds already.
    """

    def __init__(self, folder: Path, lines: Iterable[Mapping[str, float]]) -> None:
        # Imports torch.
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=0)
        for line in lines:
            self.add(line)

    def add(self, line: Mapping[str, float]) -> None:
        """Write the figures of the step `line["step"]`, so that TensorBoard can read them now."""
        for name, value in line.items():
            if name != "step":
                self._writer.add_scalar(name, value, int(line["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
