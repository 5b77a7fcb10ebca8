"""The directories of a TIFF, and of what is built like one: EXIF, and most cameras' raw files."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from itertools import islice

from imagebatch_server.images.core import Core

MOST_PAGES = 10_000
_MOST_VALUES = 4_096

_KINDS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""Types whose values are whole numbers, as `struct` names them."""

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, STRIP_BYTES, PLANAR, SUB_DIRECTORIES, EXTRA_SAMPLES, SAMPLE_FORMAT = 277, 279, 284, 330, 338, 339
JPEG_START, JPEG_BYTES, MAKE, EXIF, DNG_VERSION = 513, 514, 271, 34665, 50706

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Of a value of each type."""
_OF_PICTURE = frozenset({*range(254, 267), *range(272, 280), 284, *range(290, 294), *range(317, 326), *range(332, 342)})
_TABLES = frozenset({347, *range(512, 522), *range(529, 533)})
_MOST_MENDED_PAGES = 100

Directory = Mapping[int, tuple[int, ...]]
"""Values by tag, those that are whole numbers."""


class Tiff:
    """Read directories wherever they are; raises struct.error where they end early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.order = "<" if data.startswith(b"II") else ">"
        self.is_big = data[2:4] in (b"+\0", b"\0+")
        self._entry_bytes, self._pointer, self._counter = (20, "Q", "Q") if self.is_big else (12, "I", "H")

    def pages(self) -> Iterator[int]:
        """Where each directory of the main chain is, at most MOST_PAGES."""
        return islice(self._chain(), MOST_PAGES)

    def _chain(self) -> Iterator[int]:
        (at,) = self._unpack(self._pointer, 8 if self.is_big else 4)
        seen: set[int] = set()
        while at and at not in seen:  # a chain may lead back into itself
            seen.add(at)
            (entries,) = self._unpack(self._counter, at)
            yield at
            (at,) = self._unpack(self._pointer, at + struct.calcsize(self._counter) + entries * self._entry_bytes)

    def directory(self, at: int, tags: Collection[int]) -> Directory:
        """Read the values of those tags; one whose values lie behind the file's end is left out."""
        (entries,) = self._unpack(self._counter, at)
        first = at + struct.calcsize(self._counter)
        found: dict[int, tuple[int, ...]] = {}
        for number in range(min(entries, 65_535)):
            entry = first + number * self._entry_bytes
            tag, kind = self._unpack("HH", entry)
            if tag in tags and kind in _KINDS and tag not in found:
                try:
                    found[tag] = self._values(entry + 4, _KINDS[kind])
                except struct.error:
                    continue
        return found

    def dangling(self, at: int) -> list[int]:
        """List where a directory has entries beside the picture whose values lie behind the file's end."""
        (entries,) = self._unpack(self._counter, at)
        first = at + struct.calcsize(self._counter)
        return [it for it in range(first, first + entries * self._entry_bytes, self._entry_bytes) if self._dangles(it)]

    def _dangles(self, entry: int) -> bool:
        tag, kind, count = self._unpack("HH" + self._pointer, entry)
        size = count * _BYTES.get(kind, 1)
        if tag in _OF_PICTURE or tag in _TABLES or size <= struct.calcsize(self._pointer):
            return False
        (held_at,) = self._unpack(self._pointer, entry + 4 + struct.calcsize(self._pointer))
        return held_at + size > len(self._data)

    def without(self, at: int, dangling: Collection[int]) -> bytes:
        """Make a directory anew without some of its entries; it fits where the old one is."""
        (entries,) = self._unpack(self._counter, at)
        first = at + struct.calcsize(self._counter)
        end = first + entries * self._entry_bytes
        kept = [
            self._data[it : it + self._entry_bytes] for it in range(first, end, self._entry_bytes) if it not in dangling
        ]
        after = self._data[end : end + struct.calcsize(self._pointer)]
        return struct.pack(self.order + self._counter, len(kept)) + b"".join(kept) + after

    def _values(self, at: int, kind: str) -> tuple[int, ...]:
        (count,) = self._unpack(self._pointer, at)
        held_at = at + struct.calcsize(self._pointer)
        form = f"{min(count, _MOST_VALUES)}{kind}"
        if count * struct.calcsize(kind) > struct.calcsize(self._pointer):
            (held_at,) = self._unpack(self._pointer, held_at)
        return self._unpack(form, held_at)

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self._data, at)
        except OverflowError as error:  # an offset beyond what can be counted
            raise struct.error(str(error)) from None


def core(data: bytes) -> Core:
    """Take the whole file, but for what its directories say beside the picture of values that aren't there.

    Decoders read no directory beyond such a value.
    """
    file, mended = Tiff(data), bytearray()
    try:
        for at in islice(file.pages(), _MOST_MENDED_PAGES):
            dangling = file.dangling(at)
            if dangling:
                mended = mended or bytearray(data)
                directory = file.without(at, dangling)
                mended[at : at + len(directory)] = directory
    except struct.error:
        pass  # as below
    return Core("tiff", bytes(mended) or data, frame_count=count_pages(data))


def is_read_in_planes(tags: Mapping[int, object]) -> bool:
    """Tell whether the decoder gets a page's colours right where each is in a plane of its own, or it is in none."""
    samples, photometric, compression = tags.get(SAMPLES, 1), tags.get(PHOTOMETRIC), tags.get(COMPRESSION, 1)
    if tags.get(PLANAR, 1) != 2 or samples == 1:
        return True
    bits = tags.get(BITS)
    is_of_bytes = isinstance(bits, tuple) and set(bits) == {8}
    if photometric == 2:
        return compression != 1 or (is_of_bytes and samples in (3, 4))
    return (photometric == 5 and is_of_bytes) or (photometric == 6 and compression != 1)


def count_pages(data: bytes) -> int:
    """Pages of the main chain, as far as it is there; at least 1."""
    count = 0
    try:
        for _ in Tiff(data).pages():
            count += 1
    except struct.error:
        pass  # cut off: whether the first page is whole shows when it is decoded
    return max(1, count)
