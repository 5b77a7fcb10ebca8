"""The chunks of a PNG that make it move; where one is not as it has to be, browsers show the still picture."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

from imagebatch_server.images.png_chunks import Chunk

_OVERHEAD = 12
"""Of each chunk: length, name and checksum."""


def is_sound(data: bytes, found: Sequence[Chunk]) -> bool:
    """Tell whether the chunks of an animation, if there is one, fit each other and the picture, as far as they go."""
    moving = [it for it in found if it.name in (b"acTL", b"fcTL", b"fdAT")]
    if not moving:
        return True
    if moving[0].name != b"acTL" or not all(it.is_sound and _is_in_shape(data, it) for it in moving):
        return False
    order = [it.name for it in found if it.name in (b"acTL", b"fcTL", b"fdAT", b"IDAT")]
    numbers = [_number(data, it) for it in moving[1:]]
    stated, is_whole = _number(data, moving[0]), found[-1].name == b"IEND"
    return (
        order[0] == b"acTL"
        and numbers == list(range(len(numbers)))
        and (b"fcTL", b"fcTL") not in pairwise(order)
        and stated > 0
        and (not is_whole or (stated <= order.count(b"fcTL") and order[-1] != b"fcTL"))
    )


def _number(data: bytes, chunk: Chunk) -> int:
    return int.from_bytes(data[chunk.start + 8 : chunk.start + 12], "big")


def _is_in_shape(data: bytes, chunk: Chunk) -> bool:
    size = chunk.end - chunk.start - _OVERHEAD
    if chunk.name == b"acTL":
        return size == 8
    if chunk.name == b"fdAT":
        return size >= 4
    if size != 26:
        return False
    width, height, left, top = struct.unpack_from(">4I", data, chunk.start + 12)
    whole_width, whole_height = struct.unpack_from(">II", data, 16)
    return bool(width and height and left + width <= whole_width and top + height <= whole_height)
