"""The chunks that a PNG's file is made of."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Chunk(NamedTuple):
    """One chunk."""

    file: memoryview
    name: bytes
    start: int
    """Of the whole chunk, its length first."""
    end: int

    @property
    def is_critical(self) -> bool:
        return self.name[:1].isupper()

    @property
    def is_sound(self) -> bool:
        """Whether its checksum is right; for pixels that takes a thumbnail's time, so it is looked at when needed."""
        checksum = int.from_bytes(self.file[self.end - 4 : self.end], "big")
        return zlib.crc32(self.file[self.start + 4 : self.end - 4]) == checksum


def chunks(data: bytes) -> Iterator[Chunk]:
    """List the whole chunks up to the end mark, or to where the file ends."""
    at = len(SIGNATURE)
    view = memoryview(data)
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data) or not name.isalpha():
            return
        yield Chunk(view, name, at, end)
        if name == b"IEND":
            return
        at = end
