"""How many frames a file has, without decoding any and without trusting the file to have few."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import islice

MAX_COUNTED = 10_000
_MAX_GIF_BLOCKS = 1_000_000


def count_frames(image_format: str, data: bytes, declared: Callable[[], int]) -> int:
    """Frames of an animation or pages of a TIFF, at most MAX_COUNTED.

    `declared` answers what the header says; it is not asked for formats whose headers say nothing, because decoders
    then go through the whole file.
    """
    walk = {"gif": _gif_frames, "tiff": _tiff_pages}.get(image_format)
    if walk is None:
        return max(1, min(declared(), MAX_COUNTED))
    count = 0
    try:
        for _ in islice(walk(data), MAX_COUNTED):
            count += 1
    except (struct.error, IndexError, OverflowError):
        pass  # cut off: whether the first frame is whole shows when it is decoded
    return max(1, count)


def _gif_frames(data: bytes) -> Iterator[None]:
    at = 13 + _palette_bytes(data[10])
    blocks = 0
    while blocks < _MAX_GIF_BLOCKS and data[at] != 0x3B:
        kind = data[at]
        blocks += 1
        if kind == 0x2C:
            yield
            at += 11 + _palette_bytes(data[at + 9])
        elif kind == 0x21:
            at += 2
        else:
            at += 1  # junk between blocks, which decoders skip
            continue
        while (length := data[at]) and blocks < _MAX_GIF_BLOCKS:
            at += 1 + length
            blocks += 1
        at += 1


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff_pages(data: bytes) -> Iterator[None]:
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    pointer, counter, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + pointer, data, 8 if big else 4)
    seen: set[int] = set()
    while at and at not in seen:  # a chain may lead back into itself
        seen.add(at)
        (entries,) = struct.unpack_from(order + counter, data, at)
        yield
        (at,) = struct.unpack_from(order + pointer, data, at + struct.calcsize(counter) + entries * entry_bytes)
