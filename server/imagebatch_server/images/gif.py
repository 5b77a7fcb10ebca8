"""The blocks of a GIF, walked to its end mark and no further."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass, field

from imagebatch_server.images.core import Core, stray_bytes

MOST_FRAMES = 10_000
_MOST_BLOCKS = 1_000_000


@dataclass
class Gif:
    """What a walk finds."""

    frame_count: int = 0
    areas: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Of each frame on the screen: left, top, right, bottom."""
    stray_bytes: int = 0
    has_end: bool = False
    blocks: int = 0


def walk(data: bytes) -> Gif:
    """Go through the blocks; counting ends at MOST_FRAMES."""
    found = Gif()
    with suppress(struct.error, IndexError):  # cut off: whether the first frame is whole shows when it is decoded
        _walk(data, found)
    return found


def _walk(data: bytes, found: Gif) -> None:
    at = 13 + _palette_bytes(data[10])
    while found.blocks < _MOST_BLOCKS and found.frame_count < MOST_FRAMES:
        kind = data[at]
        found.blocks += 1
        if kind == 0x3B:
            found.has_end = True
            return
        if kind == 0x2C:
            left, top, width, height, flags = struct.unpack_from("<HHHHB", data, at + 1)
            found.areas.append((left, top, left + width, top + height))
            found.frame_count += 1
            at += 11 + _palette_bytes(flags)
        elif kind == 0x21:
            at += 2
        else:
            found.stray_bytes += 1  # junk between blocks, which decoders skip
            at += 1
            continue
        while (length := data[at]) and found.blocks < _MOST_BLOCKS:
            at += 1 + length
            found.blocks += 1
        at += 1
    found.has_end = True  # as far as anybody looks


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def core(data: bytes) -> Core:
    """Take the whole file: its blocks depend on one another."""
    found = walk(data)
    return Core(
        format="gif",
        data=data,
        is_truncated=not found.has_end,
        find_blemish=stray_bytes(found.stray_bytes, "blocks"),
        frame_count=max(1, found.frame_count),
        areas=found.areas,
    )
