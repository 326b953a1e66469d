"""Compiled graphs, cached in the home folder: loading one takes a fifth of compiling it again.

OpenVINO's own cache does not detect damage inside its files; then keys are wrong.
"""

import os
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from mocosearch.home import home

MOST_FILES = 8
"""Compiled graphs in the cache; each is as large as the network in fp32 or bf16."""
CHECKSUM = 4
"""Bytes of the CRC-32 with which a file ends."""


def cached(
    core: Any, name: str, settings: Mapping[str, Any], compile_graph: Callable[[], Any]
) -> Any:
    """The graph that is stored under a name; where there is none, it is compiled and stored."""
    graph = load(core, name, settings)
    if graph is None:
        graph = compile_graph()
        save(core, name, graph)
    return graph


def load(core: Any, name: str, settings: Mapping[str, Any]) -> Any | None:
    """The graph that `save` stored under a name; None where there is none, or not an intact one."""
    try:
        content = memoryview(_file(core, name).read_bytes())
    except OSError:
        return None
    graph, checksum = content[:-CHECKSUM], content[-CHECKSUM:]
    if not graph or zlib.crc32(graph).to_bytes(CHECKSUM, "little") != checksum:
        return None
    try:
        return core.import_model(bytes(graph), "CPU", dict(settings))
    except RuntimeError:
        return None


def save(core: Any, name: str, compiled: Any) -> None:
    """Store a compiled graph under a name; the oldest files beyond MOST_FILES are removed.

    A cache is never needed: nothing is stored where it cannot be written, and where OpenVINO
    cannot export a graph, as on some processors.
    """
    file = _file(core, name)
    with suppress(OSError, RuntimeError):
        graph = compiled.export_model().getbuffer()
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=file.parent, prefix=".", delete=False) as part:
            try:
                part.write(graph)
                part.write(zlib.crc32(graph).to_bytes(CHECKSUM, "little"))
                part.close()
                os.replace(part.name, file)
            except BaseException:
                os.unlink(part.name)
                raise
        files = sorted(file.parent.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in files[MOST_FILES:]:
            old.unlink()


def _file(core: Any, name: str) -> Path:
    """A compiled graph is valid for one version of OpenVINO and one kind of processor."""
    device = core.get_property("CPU", "FULL_DEVICE_NAME")
    able = ",".join(sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")))
    kind = zlib.crc32(f"{_version()} {device} {able}".encode())
    return home() / "cache" / "compiled" / f"{name}-{kind:08x}"


def _version() -> str:
    return str(sys.modules["openvino"].__version__)
