"""What makes the picture of a format that is built of boxes: AVIF, HEIC, JPEG 2000 and JPEG XL."""

from __future__ import annotations

import struct

from msgspec.structs import replace

from imagebatch_server.images.boxes import boxes, find
from imagebatch_server.images.colour_spaces import HighRange, of_numbers
from imagebatch_server.images.core import Core, completed
from imagebatch_server.images.items import primary, without_metadata

_FILLER = b"\x80"
"""AV1's tiles end in this byte, or in a few bits of it; with zeros decoders refuse twice as many."""
_OF_PIXELS = (b"mdat", b"jp2c", b"jxlc")
_OF_PICTURE = {
    "jpeg2000": (b"jP  ", b"ftyp", b"jp2h", b"jp2c"),
    "jxl": (b"JXL ", b"ftyp", b"jxll", b"jxlc", b"jxlp"),
}
_SIGNATURE = b"\0\0\0\x0c"
_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def core(image_format: str, data: bytes) -> Core:
    """Take what makes the picture; where its end is missing from the box of pixels, that box is filled up."""
    starts = [box.start for box in boxes(data) if box.name == b"ftyp"]
    whole = _PARTS[image_format](data[: starts[1]] if len(starts) > 1 else data)  # a video may be put behind it
    for box in boxes(whole.data):
        if box.end > len(whole.data):
            is_cut = box.name in _OF_PIXELS and box.body < len(whole.data)
            filled = completed(whole.data, box.end, _FILLER) if is_cut else whole.data
            return replace(whole, data=filled, is_truncated=is_cut)
    return whole


def _avif(data: bytes) -> Core:
    return _of_items("avif", data)


def _heif(data: bytes) -> Core:
    return _of_items("heif", data)


def _of_items(image_format: str, data: bytes) -> Core:
    beside = without_metadata(data)
    return _with_colours(Core(image_format, beside.data, exif=beside.exif, xmp=beside.xmp))


def _with_colours(core: Core) -> Core:
    try:
        item = primary(core.data)
    except (struct.error, IndexError):
        return core
    if item.nclx is None or item.has_profile:  # a profile goes before numbers; the decoder finds it
        return core
    colours = of_numbers(item.nclx[0], item.nclx[1])
    if isinstance(colours, HighRange):
        return replace(core, high_range=colours)
    return replace(core, icc_profile=colours)


def _jpeg2000(data: bytes) -> Core:
    colours = _body(data, b"jp2h", b"colr")
    return Core(
        "jpeg2000",
        _picture("jpeg2000", data),
        icc_profile=colours[3:] if colours.startswith(b"\2") else None,
        exif=_by_uuid(data, _EXIF) or b"",
        xmp=_by_uuid(data, _XMP),
    )


def _jxl(data: bytes) -> Core:
    exif = _body(data, b"Exif")[4:]  # behind an offset
    return Core("jxl", _picture("jxl", data), exif=exif, xmp=_body(data, b"xml ") or None)


def _picture(image_format: str, data: bytes) -> bytes:
    """Leave out the boxes beside the picture, and whatever is behind its pixels."""
    if not data.startswith(_SIGNATURE):
        return data  # a codestream without boxes
    view, pieces = memoryview(data), []
    for box in boxes(data):
        if box.name in _OF_PICTURE[image_format]:
            pieces.append(view[box.start : box.end])
        if box.name == b"jp2c":
            break
    return b"".join(pieces)


def _body(data: bytes, *path: bytes) -> bytes:
    box = find(data, *path)
    return b"" if box is None else data[box.body : box.end]


def _by_uuid(data: bytes, identifier: bytes) -> bytes | None:
    for box in boxes(data):
        if box.name == b"uuid" and data.startswith(identifier, box.body):
            return data[box.body + len(identifier) : box.end]
    return None


_PARTS = {"avif": _avif, "heif": _heif, "jpeg2000": _jpeg2000, "jxl": _jxl}
