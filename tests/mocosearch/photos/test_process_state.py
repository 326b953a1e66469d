"""The library depends on no global state of the process that imports it, and changes none."""

import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from mocosearch.errors import Unreadable
from mocosearch.photos.decode import decode

SIDE = 24
KINDS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
SHARES = (0.2, 0.9, 1)


def result_of(data: bytes) -> tuple[str, ...]:
    """The reason why a file is skipped, or what is decoded of it."""
    try:
        picture = decode(data, SIDE)
    except Unreadable as error:
        return ("skipped", error.what)
    return ("truncated" if picture.facts.truncated else "complete", picture.facts.pixels)


@pytest.fixture(scope="module")
def files(picture) -> list[bytes]:
    """Complete and truncated files of each format."""
    files = []
    for kind in KINDS:
        out = io.BytesIO()
        picture(len(files), 800, 600).save(out, kind)
        files += [out.getvalue()[: int(len(out.getvalue()) * share)] for share in SHARES]
    return files


def test_threads_decode_truncated_and_complete_files_as_one_thread_does(files):
    expected = [result_of(data) for data in files]
    assert {kind for kind, *_ in expected} == {"skipped", "truncated", "complete"}
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(result_of, files * 5)) == expected * 5


CODE = """
import importlib, pkgutil, sys, warnings
from pathlib import Path
# Both add warning filters of their own.
import numpy
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageFile
Image.init()

def state():
    return (
        (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES),
        (sorted(Image.OPEN), sorted(Image.SAVE), sorted(Image.EXTENSION), sorted(Image.MIME)),
        (AvifImagePlugin.DEFAULT_MAX_THREADS, pillow_heif.options.DECODE_THREADS),
        list(warnings.filters),
        [name for name, module in sys.modules.items() if module is None],
    )

def difference():
    return [(old, new) for old, new in zip(before, state()) if old != new]

before = state()
"""


def run(code: str, *arguments: str) -> None:
    command = [sys.executable, "-c", CODE + code, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr


def test_imports_change_no_global_state():
    run("""
import indexes, mocosearch.encoder.runtime, mocosearch.photos
for package in (mocosearch.photos, indexes):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
assert state() == before, difference()
""")


def test_decoding_changes_no_global_state(files, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    heic, avif = io.BytesIO(), io.BytesIO()
    image = Image.new("RGB", (80, 60), "teal")
    pillow_heif.from_pillow(image).save(heic)
    image.save(avif, "AVIF")
    for number, data in enumerate([*files, heic.getvalue(), avif.getvalue()]):
        (tmp_path / str(number)).write_bytes(data)
    run(
        """
from mocosearch.errors import Unreadable
from mocosearch.photos.decode import decode
formats = set()
for path in Path(sys.argv[1]).iterdir():
    try:
        formats.add(decode(path.read_bytes(), 24).facts.format)
    except Unreadable:
        pass
    assert state() == before, difference()
assert {"HEIF", "AVIF", "JPEG"} <= formats
""",
        str(tmp_path),
    )


def test_loading_openvino_leaves_no_trace_in_sys_modules():
    run("""
from mocosearch.encoder.runtime import openvino
openvino()
assert "openvino_telemetry" not in sys.modules
assert not any(module is None for module in sys.modules.values())
""")
