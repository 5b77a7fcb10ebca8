"""The flat picture of a Photoshop document, behind its resources and layers."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from imagebatch_server.images.core import Core

_HEADER_BYTES = 26
_PROFILE, _EXIF, _XMP = 1039, 1058, 1060


def core(data: bytes) -> Core:
    """Header, palette and flat picture; resources and layers are left out."""
    palette_at = _HEADER_BYTES
    try:
        resources_at = _behind(data, palette_at)
        layers_at = _behind(data, resources_at)
        picture_at = _behind(data, layers_at)
    except struct.error:
        return Core("psd", data, is_truncated=True)
    said = dict(_resources(data[resources_at + 4 : layers_at]))
    return Core(
        format="psd",
        data=data[:resources_at] + bytes(8) + data[picture_at:],
        is_truncated=picture_at >= len(data),
        icc_profile=said.get(_PROFILE),
        exif=said.get(_EXIF, b""),
        xmp=said.get(_XMP),
        frame_count=1,
    )


def compression(data: bytes) -> int:
    """Read how the flat picture is compressed: 0 not, 1 run lengths, 2 and 3 ZIP. Raises struct.error."""
    (found,) = struct.unpack_from(">H", data, _behind(data, _behind(data, _behind(data, _HEADER_BYTES))))
    return int(found)


def _behind(data: bytes, at: int) -> int:
    (size,) = struct.unpack_from(">I", data, at)
    return at + 4 + int(size)


def _resources(part: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while part[at : at + 4] == b"8BIM" and at + 7 <= len(part):
        (number,) = struct.unpack_from(">H", part, at + 4)
        at += 6 + (part[at + 6] + 2) // 2 * 2  # a name with its length, padded to an even size
        if at + 4 > len(part):
            return
        (size,) = struct.unpack_from(">I", part, at)
        yield number, part[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
