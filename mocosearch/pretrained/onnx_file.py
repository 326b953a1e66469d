"""Reading an ONNX file, and the one image and the one output of its network that are used."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mocosearch.encoder.runtime import openvino
from mocosearch.errors import Damaged, MocosearchError, NotFound, Unsuitable

SIDE = 224
"""Side in pixels for a network that takes any: what most published networks were trained on."""
AXES: dict[str, tuple[int, int, int]] = {"nchw": (1, 2, 3), "nhwc": (3, 1, 2)}
"""The axes of channel, row and column in each layout."""


@dataclass(frozen=True)
class Choice:
    """What to use of a network; None for what the file says."""

    output: str | None = None
    """The name of an output, or of a tensor inside the graph."""
    side: int | None = None
    """Side of the square input in pixels; SIDE if the file takes any."""
    layout: str | None = None
    """A key of AXES; by default that whose channel axis has three channels, else nchw."""


@dataclass(frozen=True)
class Network:
    """The chosen part of a file, in OpenVINO's terms."""

    image: Any
    """The input."""
    result: Any
    """The output."""
    output: str
    side: int
    layout: str


def read_network(file: Path, choice: Choice) -> Network:
    """Read a file and find what is chosen of it.

    Raises Damaged for a file that is truncated or not ONNX; NotFound if its external data are
    missing; Unsuitable for operations that OpenVINO lacks, for a network that takes anything but
    one square RGB image, and for an unknown output or several without a choice.
    """
    model = _read(file)
    result, output = _result(model, choice.output, file)
    image = _image(result, file)
    layout, side = _geometry(image.get_partial_shape(), choice, file)
    return Network(image, result, output, side, layout)


def _read(file: Path) -> Any:
    """The whole file. Only its frontend is used: `Core.read_model` tries those of other formats."""
    file.open("rb").close()  # A file that cannot be opened is not damaged.
    frontend = openvino().frontend.FrontEndManager().load_by_framework("onnx")
    try:
        model = frontend.convert(frontend.load(str(file)))
    # Its exceptions have no common class, and their kinds differ between versions.
    except Exception as error:
        raise _reading_error(file, str(error)) from error
    if not model.outputs:
        raise _reading_error(file, "empty")
    return model


def _reading_error(file: Path, message: str) -> MocosearchError:
    if "external" in message:
        return NotFound(
            f"{file} keeps its weights in another file, which is missing or truncated",
            "put that file beside it, under the name that it was exported with",
        )
    if operations := re.search(r"(?:for|for operations): ([\w.,\- ]+)\s*$", message):
        return Unsuitable(
            f"OpenVINO cannot run {file}: it cannot convert {operations[1].strip()}",
            "export the network again, with standard operations of opset 17",
        )
    return Damaged(f"{file} is truncated or not an ONNX file", "export or download it again")


def _result(model: Any, name: str | None, file: Path) -> tuple[Any, str]:
    """An output, or a tensor inside the graph, by its name."""
    outputs = {_name(each): each for each in model.outputs}
    if name is None and len(outputs) == 1:
        return next((_source(each), name) for name, each in outputs.items())
    if name is not None:
        tensors = (output for op in model.get_ordered_ops() for output in op.outputs())
        for tensor in tensors:
            if name in tensor.get_names():
                return _source(tensor), name
    content = ", ".join(f"{own} {out.get_partial_shape()}" for own, out in outputs.items())
    if name is None:
        raise Unsuitable(f"{file} has several outputs: {content}", "choose one: --output NAME")
    raise Unsuitable(f"{file} has no output {name}", f"its outputs: {content}")


def _name(output: Any) -> str:
    return min(output.get_names(), default="output")


def _source(output: Any) -> Any:
    """An output of the network, or what it is taken from if it only marks an end of the graph."""
    node = output.get_node()
    return node.input_value(0) if node.get_type_name() == "Result" else output


def _image(result: Any, file: Path) -> Any:
    """The only input that an output depends on, which takes images."""
    inputs = _inputs(result.get_node())
    if len(inputs) == 1:
        (image,) = inputs
        shape = image.get_partial_shape()
        if image.get_element_type().is_real() and shape.rank.is_static and len(shape) == 4:
            return image
    content = ", ".join(
        f"{_name(each.output(0))} {each.get_element_type().to_string()} {each.get_partial_shape()}"
        for each in inputs
    )
    raise Unsuitable(
        f"{file} takes {content or 'nothing'}, not one image",
        "export the part that encodes images, from one input of real numbers (n, 3, h, w)",
    )


def _inputs(node: Any) -> list[Any]:
    """The inputs of the graph that a node depends on."""
    names, stack, inputs = set(), [node], []
    while stack:
        node = stack.pop()
        if node.get_name() not in names:
            names.add(node.get_name())
            stack += [value.get_node() for value in node.input_values()]
            inputs += [node] if node.get_type_name() == "Parameter" else []
    return inputs


def _geometry(shape: Any, choice: Choice, file: Path) -> tuple[str, int]:
    """Layout and side of the input. Raises Unsuitable unless it is square and has 3 channels."""
    lengths = [length.get_length() if length.is_static else None for length in shape]
    likely = "nhwc" if lengths[3] == 3 and lengths[1] != 3 else "nchw"
    layout = choice.layout or likely
    channel, row, column = (lengths[axis] for axis in AXES[layout])
    if channel not in (3, None):
        raise Unsuitable(
            f"{file} takes {channel} channels in the layout {layout}, not 3",
            f"--layout {likely}" if likely != layout else "name a network for colour photos",
        )
    if None not in (row, column) and row != column:
        raise Unsuitable(f"{file} takes {column} x {row} pixels", "export it for a square")
    return layout, choice.side or row or column or SIDE
