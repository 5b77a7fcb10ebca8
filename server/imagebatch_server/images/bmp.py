"""The header of a BMP."""

from __future__ import annotations

import struct

from imagebatch_server.images.core import Core

_COLOURS_USED = 46


def core(data: bytes) -> Core:
    """Take the whole file; a palette of more colours than the pixels can name is cut to those that they can."""
    if len(data) >= _COLOURS_USED + 4 and data[14] >= 40:
        (bits,) = struct.unpack_from("<H", data, 28)
        (used,) = struct.unpack_from("<I", data, _COLOURS_USED)
        if bits in (1, 4, 8) and used > 1 << bits:
            data = data[:_COLOURS_USED] + struct.pack("<I", 1 << bits) + data[_COLOURS_USED + 4 :]
    return Core("bmp", data)
