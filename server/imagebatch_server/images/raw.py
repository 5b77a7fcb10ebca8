"""Cameras' raw files: of their pixels nothing is read, but the largest JPEG that the camera put beside them is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from msgspec.structs import replace

from imagebatch_server.batches.errors import UnsupportedPicture
from imagebatch_server.images import jpeg
from imagebatch_server.images.boxes import find
from imagebatch_server.images.core import Core
from imagebatch_server.images.tiff import COMPRESSION, DNG_VERSION, PHOTOMETRIC, SUB_DIRECTORIES, Tiff

_MAGICS = (b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")
"""Panasonic, Olympus, Fujifilm, Sigma, Minolta."""
_OF_SENSOR = (32803, 34892)
"""Photometric interpretations: colours by a filter before the sensor, linear raw."""
_BY_CAMERAS = (32767, 32769, 32770, 34713, 65000, 65535)
"""Compressions that cameras' makers have for themselves."""
_TAGS = (COMPRESSION, PHOTOMETRIC, SUB_DIRECTORIES, DNG_VERSION)
_MOST_PREVIEWS = 100
_SHOWN = (0xC0, 0xC1, 0xC2)
"""Kinds of JPEG that are shown; the sensor's pixels are often kept in a lossless one."""


def is_raw(data: bytes) -> bool:
    """Whether a file's start is that of a camera's raw file."""
    if data.startswith(_MAGICS) or data[4:12] == b"ftypcrx ":
        return True
    if not data.startswith((b"II*\0", b"MM\0*")):
        return False
    if data[8:10] == b"CR":
        return True
    try:
        return any(_is_of_sensor(it) for it in _directories(data))
    except struct.error:
        return False


def _directories(data: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """Read the first directory, and those below it."""
    file = Tiff(data)
    first = next(file.pages(), None)
    if first is None:
        return
    top = file.directory(first, _TAGS)
    yield dict(top)
    for at in top.get(SUB_DIRECTORIES, ())[:16]:
        yield dict(file.directory(at, _TAGS))


def _is_of_sensor(found: dict[int, tuple[int, ...]]) -> bool:
    return (
        DNG_VERSION in found
        or found.get(PHOTOMETRIC, (0,))[:1] in [(it,) for it in _OF_SENSOR]
        or found.get(COMPRESSION, (0,))[:1] in [(it,) for it in _BY_CAMERAS]
    )


def core(data: bytes) -> Core:
    """Find the largest preview, with what the file says of itself. Raises UnsupportedPicture if there is none."""
    largest: Core | None = None
    most = 0
    at = data.find(b"\xff\xd8\xff")
    for _ in range(_MOST_PREVIEWS):
        if at < 0:
            break
        found = jpeg.walk(data, at)
        size = jpeg.size(found)
        if found.frame in _SHOWN and found.has_end and size[0] * size[1] > most:
            most, largest = size[0] * size[1], jpeg.core(found)
        at = data.find(b"\xff\xd8\xff", found.end if found.has_end else at + 3)
    if largest is None:
        raise UnsupportedPicture(
            "of a camera's raw file only the preview is read, and this one has none; develop it into a JPEG or TIFF"
        )
    return replace(largest, exif=_exif(data) or largest.exif, frame_count=1)


def _exif(data: bytes) -> bytes | None:
    """Find the file's own directories, if it is built like an EXIF block; Canon's newer files have one in a box."""
    if data.startswith((b"II*\0", b"MM\0*")):
        return data
    box = find(data, b"moov", b"uuid", b"CMT1") if data[4:8] == b"ftyp" else None
    return None if box is None else data[box.body : box.end]
