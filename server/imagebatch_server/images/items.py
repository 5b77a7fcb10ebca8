"""The items of an AVIF or a HEIC: its picture, and what is said beside it in others, EXIF and XMP.

The latter are read here and hidden from the decoders, which refuse the picture, or crash, where one is damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagebatch_server.images.boxes import MOST_BOXES, Box, boxes, find

_DESCRIBES, _NOTHING = b"cdsc", b"free"
"""The reference by which an item of metadata tells whose it is, and one that means nothing to anybody."""
_XMP_TYPE = b"application/rdf+xml"
_WORDS = {0: "", 2: "H", 4: "I", 8: "Q"}


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
    for _ in range(min(count, MOST_BOXES)):
        one, linked = struct.unpack_from(">IB" if version else ">HB", data, place)
        place += 5 if version else 3
        indexes = struct.unpack_from(f">{linked}{'H' if is_wide else 'B'}", data, place)
        place += linked * (2 if is_wide else 1)
        if one == number:
            chosen = [index & (0x7FFF if is_wide else 0x7F) for index in indexes]
            return [on_shelf[index - 1] for index in chosen if 0 < index <= len(on_shelf)]
    return []


@dataclass(frozen=True)
class Beside:
    """What was found, and the file without it."""

    data: bytes
    exif: bytes = b""
    xmp: bytes | None = None


def without_metadata(data: bytes) -> Beside:
    """Part a file's picture from its metadata; what can't be read of that says nothing."""
    meta = find(data, b"meta")
    references = None if meta is None else find(data, b"iref", at=meta.body + 4, end=meta.end)
    if meta is None or references is None:
        return Beside(data)
    named = [it for it in boxes(data, references.body + 4, references.end) if it.name == _DESCRIBES]
    if not named:
        return Beside(data)
    hidden = bytearray(data)
    for box in named:
        hidden[box.start + 4 : box.start + 8] = _NOTHING
    exif, xmp = _metadata(data, meta)
    return Beside(bytes(hidden), exif, xmp)


def _metadata(data: bytes, meta: Box) -> tuple[bytes, bytes | None]:
    exif, xmp = b"", None
    try:
        kinds = dict(_kinds(data, meta))
        for number, body in _bodies(data, meta, kinds):
            if kinds[number] == b"Exif":
                exif = exif or body[4:]  # behind the offset of its header, which is found without it
            else:
                xmp = xmp or body
    except (struct.error, IndexError, KeyError):  # damaged
        pass
    return exif, xmp


def _kinds(data: bytes, meta: Box) -> Iterator[tuple[int, bytes]]:
    """List the items that hold EXIF or XMP, by number."""
    box = find(data, b"iinf", at=meta.body + 4, end=meta.end)
    if box is None:
        return
    for entry in boxes(data, box.body + (8 if data[box.body] else 6), box.end):
        if entry.name == b"infe" and data[entry.body] >= 2:
            form = ">IH4s" if data[entry.body] > 2 else ">HH4s"
            number, _, kind = struct.unpack_from(form, data, entry.body + 4)
            if kind == b"Exif" or (kind == b"mime" and _XMP_TYPE in data[entry.body : entry.end]):
                yield number, kind


def _bodies(data: bytes, meta: Box, wanted: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Read the bytes of items, wherever the file keeps them."""
    box = find(data, b"iloc", at=meta.body + 4, end=meta.end)
    if box is None:
        return
    inside = find(data, b"idat", at=meta.body + 4, end=meta.end)
    version, sizes = data[box.body], struct.unpack_from(">BB", data, box.body + 4)
    offset, length = _WORDS[sizes[0] >> 4], _WORDS[sizes[0] & 15]
    base, index = _WORDS[sizes[1] >> 4], _WORDS[sizes[1] & 15] if version else ""
    place = box.body + 6
    wide = "I" if version > 1 else "H"
    (count,) = struct.unpack_from(f">{wide}", data, place)
    place += struct.calcsize(wide)
    head = f">{wide}{'H' if version else ''}H{base or '0s'}H"
    extent = f">{index}{offset or '0s'}{length or '0s'}"
    for _ in range(min(count, MOST_BOXES)):
        fields = struct.unpack_from(head, data, place)
        place += struct.calcsize(head)
        extents = [
            struct.unpack_from(extent, data, place + at * struct.calcsize(extent))
            for at in range(min(fields[-1], MOST_BOXES))
        ]
        place += fields[-1] * struct.calcsize(extent)
        is_inside = version > 0 and fields[1] & 15 == 1
        if fields[0] in wanted and (inside is not None or not is_inside):
            start = (fields[-2] or 0) + (inside.body if inside is not None and is_inside else 0)
            yield fields[0], b"".join(_extent(data, start, *it[-2:]) for it in extents)


def _extent(data: bytes, start: int, offset: int | bytes, length: int | bytes) -> bytes:
    at = start + (offset or 0) if isinstance(offset, int) else start
    return data[at : at + length] if isinstance(length, int) and length else data[at:]
