"""ONNX: the whole way from pixels to keys in one file."""

import warnings
from pathlib import Path

import torch

from mocosearch.encoder import Encoder
from mocosearch.errors import MissingPackage, StorageFailed
from mocosearch.formats.network import load_descriptor
from mocosearch.requirements import is_installed

OPSET = 20


def write_onnx(folder: Path, file: Path, whitened: Encoder | None = None) -> None:
    """Write an encoder's folder as an ONNX file: `pixels`, uint8 (n, side, side, 3) RGB, to `keys`,
    float32 (n, d) of unit length, in fp32.

    Pictures are to be resized to the square before; normalisation is in the graph. whitened: the
    encoder of an index, whose whitening is used. Raises MissingPackage, NotFound, Damaged,
    Unsuitable for an encoder from an ONNX file, StorageFailed.
    """
    if not is_installed("onnx", "onnxscript"):
        raise MissingPackage("this needs onnx and onnxscript", "pip install onnx onnxscript")
    side = Encoder.open(folder).side
    descriptor = load_descriptor(folder, whitened)
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                descriptor,
                (example,),
                file,
                input_names=["pixels"],
                output_names=["keys"],
                dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except OSError as error:
        raise StorageFailed(f"cannot write {file}: {error.strerror or error}") from error
