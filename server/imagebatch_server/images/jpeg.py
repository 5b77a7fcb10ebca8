"""The segments of a JPEG, walked to the end of its picture and no further."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagebatch_server.images.core import Core, stray_bytes

_SOI, _EOI, _SOS, _DNL, JPEG_LS = 0xD8, 0xD9, 0xDA, 0xDC, 0xF7
_ICC = b"ICC_PROFILE\0"
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEEDED = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD, _SOS}
"""Tables, frames and scans; of the applications' segments JFIF's and Adobe's tell how colours are stored."""

_OF_COLOUR = {0xE0: (b"JFIF", 14), 0xEE: (b"Adobe", 12)}
"""The applications' segments that tell how colours are stored, by marker: name, and least bytes."""

_AFTER_PIXELS = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the coded pixels of a scan: a marker that is no restart, no stuffing and no fill byte."""


@dataclass
class Jpeg:
    """What a walk finds."""

    pieces: list[bytes | memoryview] = field(default_factory=list)
    beside: list[tuple[int, bytes]] = field(default_factory=list)
    """The applications' segments by marker, which say something of the picture and make none of it."""
    scans: int = 0
    frame: int | None = None
    """The marker of the frame's header, which names the kind of coding."""
    frame_at: int = 0
    """The piece that is its segment: length, precision, height, width and colours."""
    height: int | None = None
    """As stated behind the first scan, which few files do."""
    stray_bytes: int = 0
    has_end: bool = False
    end: int = 0
    """Where the end mark ends."""
    has_pixels: bool = False


def walk(data: bytes, start: int = 0) -> Jpeg:
    """Go through the segments of a JPEG that begins at `start`, up to its end mark, or to where the file ends."""
    found = Jpeg()
    view = memoryview(data)
    at = start + 2
    while True:
        marker_at = data.find(b"\xff", at)
        if marker_at < 0:
            return found
        found.stray_bytes += marker_at - at
        at = marker_at + 1
        while data[at : at + 1] == b"\xff":  # fill bytes
            at += 1
        if at >= len(data):
            return found
        marker = data[at]
        at += 1
        if marker == _EOI:
            found.has_end, found.end = True, at
            return found
        if marker <= 0x01 or 0xD0 <= marker <= _SOI:  # these have no segment
            found.stray_bytes += 2 * (marker == 0)
            continue
        length = int.from_bytes(data[at : at + 2], "big") if at + 2 <= len(data) else 0
        end = at + length
        if end > len(data):
            return found
        if length < 2:
            found.stray_bytes += 2
            continue
        _take(found, marker, view[at:end])
        at = end
        if marker == _SOS:
            ended = _AFTER_PIXELS.search(data, at)
            end = len(data) if ended is None else ended.start()
            found.has_pixels = found.has_pixels or end > at
            found.pieces.append(view[at:end])
            at = end


def _take(found: Jpeg, marker: int, segment: memoryview) -> None:
    if marker in _NEEDED or _is_of_colour(marker, segment):
        found.pieces += (bytes((0xFF, marker)), segment)
        if marker == _SOS:
            found.scans += 1
        elif marker in _FRAMES and found.frame is None:
            found.frame = marker
            found.frame_at = len(found.pieces) - 1
    elif marker == _DNL:
        found.height = int.from_bytes(segment[2:4], "big")
    elif marker == JPEG_LS:
        found.frame = marker
    elif 0xE0 <= marker <= 0xEF:
        found.beside.append((marker, bytes(segment[2:])))


def _is_of_colour(marker: int, segment: memoryview) -> bool:
    name, least = _OF_COLOUR.get(marker, (b"", 0))
    return bool(name) and len(segment) >= 2 + least and segment[2 : 2 + len(name)] == name


def size(found: Jpeg) -> tuple[int, int]:
    """Width and height, as the frame's header states them; zeros without one."""
    height, width = struct.unpack(">HH", _frame(found)[3:7])
    return width, height


def precision(found: Jpeg) -> int:
    """Bits of a sample."""
    return _frame(found)[2]


def colours(found: Jpeg) -> int:
    """How many colours there are."""
    return _frame(found)[7]


def _frame(found: Jpeg) -> bytes:
    segment = b"" if found.frame is None else bytes(found.pieces[found.frame_at])
    return segment.ljust(8, b"\0")


def core(found: Jpeg) -> Core:
    """Build the JPEG that a walk found. One that lacks its end gets an end mark: decoders then show what there is."""
    pieces = found.pieces
    if found.height and found.frame is not None:
        segment = bytearray(pieces[found.frame_at])
        if segment[3:5] == b"\0\0":
            segment[3:5] = struct.pack(">H", found.height)
            pieces[found.frame_at] = bytes(segment)
    is_whole = found.has_end or not found.has_pixels  # without a pixel there is nothing to be shown
    profile = _icc_profile(body for marker, body in found.beside if marker == 0xE2 and body.startswith(_ICC))
    exif = b"".join(body[len(_EXIF) :] for marker, body in found.beside if marker == 0xE1 and body.startswith(_EXIF))
    xmp = [body[len(_XMP) :] for marker, body in found.beside if marker == 0xE1 and body.startswith(_XMP)]
    return Core(
        format="jpeg",
        data=b"".join([b"\xff\xd8", *pieces, *([b"\xff\xd9"] if found.has_pixels else [])]),
        is_truncated=not is_whole,
        find_blemish=stray_bytes(found.stray_bytes, "segments"),
        icc_profile=profile,
        exif=exif,
        xmp=xmp[0] if xmp else None,
    )


def _icc_profile(segments: Iterator[bytes]) -> bytes | None:
    """Join a profile from its numbered parts; None if one is missing."""
    parts = sorted({(body[12], body[13], body[14:]) for body in segments if len(body) > 14})
    if not parts or [number for number, _, _ in parts] != list(range(1, parts[0][1] + 1)):
        return None
    return b"".join(part for _, _, part in parts)
