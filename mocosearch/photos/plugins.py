"""Pillow's decoder for each format, called directly.

`Image.open` tries every decoder that the program has registered, and some of them start other
programs. Here `formats.format_of` chooses the decoder, and nothing is registered with Pillow:
`Image.open` in the host program works as before.
"""

import importlib
import io

from PIL import Image, ImageFile, TiffTags

from mocosearch.errors import Unreadable
from mocosearch.photos.formats import boxes
from mocosearch.photos.metadata.facts import exif_of

_DECODERS = {
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "HEIF": ("pillow_heif", "HeifImageFile"),
    "JPEG": ("PIL.JpegImagePlugin", "jpeg_factory"),
    "JPEG2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "WEBP": ("PIL.WebPImagePlugin", "WebPImageFile"),
}


def open_image(data: bytes, kind: str) -> ImageFile.ImageFile:
    """The image with its header read and its pixels not yet decoded.

    kind: a format as `format_of` names it, except RAW. Raises Unreadable if the header is damaged.
    """
    module, name = _DECODERS[kind]
    # The decoder is not asked whether it accepts the file: some check only the first of several
    # brands.
    decoder = getattr(importlib.import_module(module), name)
    try:
        image: ImageFile.ImageFile = decoder(io.BytesIO(data), "")
    except SyntaxError as error:
        raise Unreadable("damaged header") from error
    if kind == "TIFF":
        _remove_broken_pointers(image)
    if kind == "JPEG2000":
        _add_metadata(image, data)
    return image


def _remove_broken_pointers(image: Image.Image) -> None:
    """Pillow follows a TIFF's pointers to EXIF and GPS data while decoding, and fails on a broken
    one.
    """
    exif = exif_of(image)
    for tag in [tag for tag in TiffTags.TAGS_V2_GROUPS if tag in exif]:
        try:
            exif.get_ifd(tag)
        except Exception:
            del exif[tag]


def _add_metadata(image: Image.Image, data: bytes) -> None:
    """Read the colour profile and EXIF of a JPEG 2000 file, which Pillow does not."""
    for kind, content in boxes(data, b"jp2h"):
        # Method 2 is a restricted ICC profile (ISO/IEC 15444-1, I.5.3.3).
        if kind == b"colr" and bytes(content[:1]) == b"\2":
            image.info["icc_profile"] = bytes(content[3:])
    for kind, content in boxes(data):
        if kind == b"uuid" and bytes(content[:16]) == b"JpgTiffExif->JP2":
            image.info["exif"] = bytes(content[16:])
