"""From torch to an encoder's folder (graph, weights and card), written atomically."""

import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from mocosearch.encoder.card import Card, fingerprint
from mocosearch.encoder.recover import hidden_folder, recover
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS, Encoder, openvino
from mocosearch.errors import StorageFailed, Unsuitable
from mocosearch.photos.decode import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

TRAINED = "weights.safetensors"
"""The trained network, from which training can continue; matrices in fp16."""
FP32_PHOTOS = 64
"""Photos whose keys are compared with those of the network in fp32."""
_HINT = "free disk space, or choose another place"
REPORT = "report.html"
METRICS = "metrics.jsonl"
"""The figures of the training over time."""
_SYSTEM_FILES = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file managers create in any folder."""


def check_destination(folder: Path) -> None:
    """Raises Unsuitable if the folder holds anything but an encoder, which may be replaced."""
    names = {CARD, GRAPH, WEIGHTS, TRAINED, REPORT, METRICS, *_SYSTEM_FILES}
    others = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    others = [name for name in others if name not in names]
    if others or folder.is_file():
        what = f"contains {others[0]}" if others else "is a file"
        raise Unsuitable(f"{folder} {what} and is not replaced", "choose another --name")


def export(
    descriptor: "nn.Module",
    backbone: "nn.Module",
    card: Card,
    folder: Path,
    files: Mapping[str, str] = MappingProxyType({}),
    photos: Pixels | None = None,
    start: float | None = None,
    graph: tuple[bytes, bytes] | None = None,
) -> Card:
    """Write the encoder's folder, replacing an older encoder; returns the card as written.

    descriptor: uint8 (n, side, side, 3) to unit vectors, in evaluation mode, float32.
    files: texts about the training by the names of their files, REPORT or METRICS.
    photos: uint8 (n, side, side, 3); the card's quality `cosine_to_fp32` is the lowest cosine
        between the exported encoder's key and that of the network in fp32, over FP32_PHOTOS.
    start: when the run began, in seconds of time.monotonic(); the card's `seconds` count from it.
    graph: the descriptor's, as from `convert`, where it exists already.

    Raises Unsuitable if the destination holds anything else, StorageFailed.
    """
    with replacing(folder) as part:
        parts = graph or convert(descriptor, card.side)
        for name, content in zip((GRAPH, WEIGHTS), parts, strict=True):
            (part / name).write_bytes(content)
        _save_weights(backbone, part)
        card = replace(card, fingerprint=fingerprint(*parts))
        if photos is not None:
            encoder = Encoder(card, *parts)
            cosine = _cosine_to_fp32(descriptor, encoder, np.array(photos[:FP32_PHOTOS]))
            card = replace(card, quality={**card.quality, "cosine_to_fp32": cosine})
        if start is not None:
            card = replace(card, seconds=round(time.monotonic() - start, 1))
        (part / CARD).write_text(card.to_json())
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
    return Card.from_json(card.to_json())


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A hidden folder beside an encoder's folder, for its new files. It then takes the place of an
    older encoder; if an exception is raised, the older one stays.

    Raises Unsuitable if the folder holds anything but an encoder.
    """
    recover(folder)
    check_destination(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part, old = hidden_folder(folder, "part"), hidden_folder(folder, "old")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def convert(descriptor: "nn.Module", side: int) -> tuple[bytes, bytes]:
    """The graph and the weights of a module from uint8 (n, side, side, 3) to unit vectors; in
    evaluation mode, float32. Raises StorageFailed.
    """
    return to_bytes(_graph(descriptor, side))


def to_bytes(model: Any) -> tuple[bytes, bytes]:
    """An OpenVINO model as the bytes of GRAPH and WEIGHTS. Raises StorageFailed."""
    with TemporaryDirectory() as folder:
        save_graph(model, Path(folder))
        return (Path(folder) / GRAPH).read_bytes(), (Path(folder) / WEIGHTS).read_bytes()


def save_graph(model: Any, folder: Path) -> None:
    """Write an OpenVINO model as GRAPH and WEIGHTS, constants in fp16. Raises StorageFailed."""
    try:
        openvino().save_model(model, folder / GRAPH, compress_to_fp16=True)
    except RuntimeError as error:
        # OpenVINO reports its own source line instead of the system's error.
        raise StorageFailed(f"cannot write the encoder's graph into {folder}", _HINT) from error


def _save_weights(backbone: "nn.Module", folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({k: _half(v) for k, v in backbone.state_dict().items()}, folder / TRAINED)
    except SafetensorError as error:
        raise StorageFailed(f"cannot write the encoder's weights into {folder}", _HINT) from error


def _half(weight: "Tensor") -> "Tensor":
    """Matrices in fp16; a batch norm's statistics may exceed its range."""
    return (weight.half() if weight.ndim > 1 else weight).contiguous()


def _cosine_to_fp32(descriptor: "nn.Module", encoder: Encoder, photos: Pixels) -> float:
    import torch

    cosines = []
    batch = encoder.batches.batch
    for start in range(0, len(photos), batch):
        part = photos[start : start + batch]
        with torch.no_grad():
            exact = descriptor(torch.from_numpy(part)).numpy()
        cosines.append(float((exact * encoder.encode(part)).sum(1).min()))
    return round(min(cosines), 4)


def _graph(descriptor: "nn.Module", side: int) -> object:
    """An OpenVINO model with a dynamic batch size.

    OpenVINO's own converter wraps this frontend and reports its use to Intel; the frontend alone
    does not.
    """
    import torch

    ov = openvino()
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    batch = torch.export.Dim("n", min=1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(descriptor, (example,), dynamic_shapes=({0: batch},))
        # Decomposed attention would hold tokens x tokens scores of all heads in memory.
        table = torch.export.default_decompositions()
        table.pop(torch.ops.aten.scaled_dot_product_attention.default)  # type: ignore[no-untyped-call]
        program = program.run_decompositions(table)
    decoder = TorchFXPythonDecoder(program.module(), dynamic_shapes=True)
    frontend = ov.frontend.FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, side, side, 3])
    rename_nodes(model)
    return model


def rename_nodes(model: Any) -> None:
    """Replace names that depend on the process, so that the same network gives the same file."""
    model.set_friendly_name("encoder")
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
        for output in node.outputs():
            output.get_tensor().set_names(set())
