"""The boxes of an ISO media file (AVIF, HEIC, Canon's CR3, JPEG 2000, JPEG XL)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MOST_BOXES = 10_000


@dataclass(frozen=True)
class Box:
    """Where a box lies; `end` may lie behind the file's."""

    name: bytes
    start: int
    body: int
    end: int


def boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Box]:
    """Iterate over the boxes side by side in a part of a file, or in all of it."""
    end = len(data) if end is None else min(end, len(data))
    for _ in range(MOST_BOXES):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1 and at + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        stop = end if size == 0 else at + size
        if stop < body:
            return
        yield Box(name, at, body, stop)
        at = stop


_BEFORE_BOXES = {b"meta": 4, b"uuid": 16}
"""Bytes that a box has before those within it: a version, its identifier."""


def find(data: bytes, *path: bytes, at: int = 0, end: int | None = None) -> Box | None:
    """Find the first box under that path of names."""
    for box in boxes(data, at, end):
        if box.name == path[0]:
            inner = box.body + _BEFORE_BOXES.get(box.name, 0)
            return box if len(path) == 1 else find(data, *path[1:], at=inner, end=box.end)
    return None
