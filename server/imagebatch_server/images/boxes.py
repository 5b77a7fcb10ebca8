"""The boxes of an ISO media file (AVIF, HEIC, Canon's CR3, JPEG 2000, JPEG XL), and the picture among its items."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from imagebatch_server.images.colour_spaces import HighRange, of_numbers
from imagebatch_server.images.core import Core, completed

_MOST_BOXES = 10_000
_FILLER = b"\x80"
"""AV1's tiles end in this byte, or in a few bits of it; with zeros decoders refuse twice as many."""
_OF_PIXELS = (b"mdat", b"jp2c", b"jxlc")


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
    for _ in range(_MOST_BOXES):
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


@dataclass
class Item:
    """The primary picture, as its properties state it."""

    kind: bytes = b""
    width: int = 0
    height: int = 0
    nclx: tuple[int, int, int] | None = None
    """Primaries, transfer and matrix, by their numbers in ITU-T H.273."""
    has_profile: bool = False
    kinds: set[bytes] = field(default_factory=set)
    """Of all items: `av01`, `hvc1`, `grid`, `Exif`, ..."""


def primary(data: bytes) -> Item:
    """Read what the file says of its primary picture. Raises struct.error where the boxes end early."""
    item = Item()
    meta = find(data, b"meta")
    if meta is None:
        return item
    inside = meta.body + 4, meta.end
    number = _primary_number(data, *inside)
    for one, kind in _items(data, *inside):
        item.kinds.add(kind)
        if one == number:
            item.kind = kind
    for box in _properties(data, number, *inside):
        if box.name == b"ispe":
            item.width, item.height = struct.unpack_from(">II", data, box.body + 4)
        elif box.name == b"colr" and data[box.body : box.body + 4] in (b"prof", b"rICC"):
            item.has_profile = True
        elif box.name == b"colr" and data[box.body : box.body + 4] == b"nclx":
            primaries, transfer, matrix = struct.unpack_from(">HHH", data, box.body + 4)
            item.nclx = primaries, transfer, matrix
    return item


def _primary_number(data: bytes, at: int, end: int) -> int:
    box = find(data, b"pitm", at=at, end=end)
    if box is None:
        return 0
    (number,) = struct.unpack_from(">I" if data[box.body] else ">H", data, box.body + 4)
    return int(number)


def _items(data: bytes, at: int, end: int) -> Iterator[tuple[int, bytes]]:
    box = find(data, b"iinf", at=at, end=end)
    if box is None:
        return
    for entry in boxes(data, box.body + (8 if data[box.body] else 6), box.end):
        if entry.name == b"infe" and data[entry.body] >= 2:
            wide = data[entry.body] > 2
            number, _, kind = struct.unpack_from(">IH4s" if wide else ">HH4s", data, entry.body + 4)
            yield number, kind


def _properties(data: bytes, number: int, at: int, end: int) -> list[Box]:
    """List the boxes of an item's properties, in the order in which they are associated with it."""
    shelf = find(data, b"iprp", b"ipco", at=at, end=end)
    links = find(data, b"iprp", b"ipma", at=at, end=end)
    if shelf is None or links is None:
        return []
    on_shelf = list(boxes(data, shelf.body, shelf.end))
    version, is_wide = data[links.body], data[links.body + 3] & 1
    (count,) = struct.unpack_from(">I", data, links.body + 4)
    place = links.body + 8
    for _ in range(min(count, _MOST_BOXES)):
        one, linked = struct.unpack_from(">IB" if version else ">HB", data, place)
        place += 5 if version else 3
        indexes = struct.unpack_from(f">{linked}{'H' if is_wide else 'B'}", data, place)
        place += linked * (2 if is_wide else 1)
        if one == number:
            chosen = [index & (0x7FFF if is_wide else 0x7F) for index in indexes]
            return [on_shelf[index - 1] for index in chosen if 0 < index <= len(on_shelf)]
    return []


def core(image_format: str, data: bytes) -> Core:
    """Take the whole file; where its end is missing from the box of pixels, that box is filled up."""
    whole = Core(
        image_format,
        data,
        icc_profile=_jp2_profile(data) if image_format == "jpeg2000" else None,
        exif=_box_of_exif(data) if image_format == "jxl" else None,
    )
    if image_format in ("avif", "heif"):
        whole = _with_colours(whole)
    for box in boxes(data):
        if box.end > len(data):
            is_cut = box.name in _OF_PIXELS and box.body < len(data)
            return replace(whole, data=completed(data, box.end, _FILLER) if is_cut else data, is_truncated=is_cut)
    return whole


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


def _jp2_profile(data: bytes) -> bytes | None:
    box = find(data, b"jp2h", b"colr")
    return data[box.body + 3 : box.end] if box is not None and data[box.body : box.body + 1] == b"\2" else None


def _box_of_exif(data: bytes) -> bytes | None:
    """JPEG XL has EXIF in a box of its own, behind an offset; in the others it is an item, which decoders find."""
    box = find(data, b"Exif")
    return None if box is None else data[box.body + 4 : box.end]
