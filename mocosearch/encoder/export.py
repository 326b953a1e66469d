"""From torch to an encoder's folder: graph, weights and card, complete or absent."""

import os
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mocosearch.encoder.card import Card, fingerprint
from mocosearch.encoder.runtime import CARD, GRAPH, WEIGHTS, Encoder, openvino
from mocosearch.errors import StorageFailed, Unsuitable
from mocosearch.photos.decode import Pixels

if TYPE_CHECKING:
    from torch import Tensor, nn

TRAINED = "weights.safetensors"
"""The trained network, from which training can go on; matrices in fp16."""
COMPARED = 64
_ROOM = "free some room, or choose another place"
REPORT = "report.html"
_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What a system leaves in any folder that somebody looks into."""


def check_place(folder: Path) -> None:
    """Raises Unsuitable where an encoder would take the place of anything but an older one."""
    known = {CARD, GRAPH, WEIGHTS, TRAINED, REPORT, *_SYSTEMS}
    strange = (
        [] if not folder.is_dir() else [p.name for p in folder.iterdir() if p.name not in known]
    )
    if strange or folder.is_file():
        what = f"holds {sorted(strange)[0]}" if strange else "is a file"
        raise Unsuitable(
            f"{folder} {what}, and no encoder takes its place", "choose another --name"
        )


def export(
    descriptor: "nn.Module",
    backbone: "nn.Module",
    card: Card,
    folder: Path,
    page: str | None = None,
    photos: Pixels | None = None,
) -> Card:
    """Write the encoder's folder, in place of an older one; returns the card as written.

    descriptor: uint8 (n, side, side, 3) to unit vectors, in evaluation mode, float32.
    page: HTML about the training, for people.
    photos: uint8 (n, side, side, 3); the card tells how far their keys move by all that is
        rounded on the way, as `cosine_to_fp32`, the lowest over COMPARED of them.
    Everything is written into a hidden folder beside the place and renamed into it. Raises
    Unsuitable for a place that holds anything else, StorageFailed.
    """
    check_place(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.parent / f".{folder.name}.{os.getpid()}.part"
    old = folder.parent / f".{folder.name}.{os.getpid()}.old"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        save_graph(_graph(descriptor, card.side), part)
        _save_weights(backbone, part)
        graph, weights = (part / GRAPH).read_bytes(), (part / WEIGHTS).read_bytes()
        card = replace(card, fingerprint=fingerprint(graph, weights))
        if photos is not None:
            some = np.array(photos[:COMPARED])
            moved = _cosine_to_fp32(descriptor, Encoder(card, graph, weights), some)
            card = replace(card, quality={**card.quality, "cosine_to_fp32": moved})
        (part / CARD).write_text(card.to_json())
        if page is not None:
            (part / REPORT).write_text(page, encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    return Card.from_json(card.to_json())


def save_graph(model: Any, folder: Path) -> None:
    """An OpenVINO model as GRAPH and WEIGHTS, constants in fp16. Raises StorageFailed."""
    try:
        openvino().save_model(model, folder / GRAPH, compress_to_fp16=True)
    except RuntimeError as error:
        # It names its own source and not the disk's reason.
        raise StorageFailed(f"cannot write the encoder's graph into {folder}", _ROOM) from error


def _save_weights(backbone: "nn.Module", folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({k: _stored(v) for k, v in backbone.state_dict().items()}, folder / TRAINED)
    except SafetensorError as error:
        raise StorageFailed(f"cannot write the encoder's weights into {folder}", _ROOM) from error


def _stored(weight: "Tensor") -> "Tensor":
    """Matrices at half their size; the statistics of a batch norm may leave the range of fp16."""
    return (weight.half() if weight.ndim > 1 else weight).contiguous()


def _cosine_to_fp32(descriptor: "nn.Module", encoder: Encoder, photos: Pixels) -> float:
    import torch

    with torch.no_grad():
        exact = descriptor(torch.from_numpy(photos)).numpy()
    return round(float((exact * encoder.encode(photos)).sum(1).min()), 4)


def _graph(descriptor: "nn.Module", side: int) -> object:
    """An OpenVINO model with a free batch size.

    OpenVINO's own converter is a shell around this frontend that reports its use to Intel;
    the frontend alone does not.
    """
    import torch

    ov = openvino()
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    batch = torch.export.Dim("n", min=1)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(descriptor, (example,), dynamic_shapes=({0: batch},))
        program = program.run_decompositions()
    decoder = TorchFXPythonDecoder(program.module(), dynamic_shapes=True)
    frontend = ov.frontend.FrontEndManager().load_by_framework("pytorch")
    model = frontend.convert(frontend.load(decoder))
    model.reshape([-1, side, side, 3])
    named(model)
    return model


def named(model: Any) -> None:
    """Names come from counters of the process; with these the same network is the same file."""
    model.set_friendly_name("encoder")
    for number, node in enumerate(model.get_ordered_ops()):
        node.set_friendly_name(f"{node.get_type_name()}_{number}")
        for output in node.outputs():
            output.get_tensor().set_names(set())
