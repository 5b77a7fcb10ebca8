"""What EXIF and XMP say of a picture, where they say anything usable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import PIL.Image
from PIL.ExifTags import IFD, Base

_MOST_XMP = 1024 * 1024


def exif_of(opened: PIL.Image.Image, block: bytes | None) -> PIL.Image.Exif | None:
    """Read the EXIF block beside the picture, or the one that its decoder found; None without a readable one."""
    if block == b"":
        return None
    try:
        if block is None:
            return PIL.Image.Image.getexif(opened)  # a PNG's own would decode the pixels to look for more
        exif = PIL.Image.Exif()
        exif.load(block)
        return exif
    except Exception:  # a damaged EXIF block raises nearly anything, and is no reason to refuse a picture
        return None


def orientation(exif: PIL.Image.Exif | None) -> int:
    """How the stored picture is to be turned, 1 to 8; 1 where nothing usable is said."""
    if exif is None:
        return 1
    value = exif.get(Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


@dataclass(frozen=True)
class CaptureTime:
    """When a picture was taken."""

    at: datetime
    """Naive where the file names no zone, as most cameras' don't."""
    source: str
    """What says so, such as `EXIF DateTimeOriginal`."""


def capture_time(exif: PIL.Image.Exif | None, xmp: bytes | None) -> CaptureTime | None:
    """Read the first time that is said, of the picture before of its digitizing; None without a usable one."""
    if exif is None and not xmp:
        return None
    try:
        block = {} if exif is None else exif.get_ifd(IFD.Exif)
    except Exception:  # as above
        block = {}
    text = (xmp or b"").replace(b"\0", b"")[:_MOST_XMP].decode("utf-8", "replace")  # UTF-16 too, as far as it is ASCII
    said: tuple[tuple[str, datetime | None], ...] = (
        ("EXIF DateTimeOriginal", _of_exif(block, Base.DateTimeOriginal, Base.OffsetTimeOriginal)),
        ("XMP exif:DateTimeOriginal", _of_xmp(text, "exif:DateTimeOriginal")),
        ("XMP photoshop:DateCreated", _of_xmp(text, "photoshop:DateCreated")),
        ("EXIF DateTimeDigitized", _of_exif(block, Base.DateTimeDigitized, Base.OffsetTimeDigitized)),
        ("XMP exif:DateTimeDigitized", _of_xmp(text, "exif:DateTimeDigitized")),
        ("XMP xmp:CreateDate", _of_xmp(text, "xmp:CreateDate")),
    )
    return next((CaptureTime(at, source) for source, at in said if at is not None), None)


def _of_exif(block: Mapping[int, object], time: int, offset: int) -> datetime | None:
    try:
        at = datetime.strptime(_text(block.get(time)), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - the zone is said apart
    except ValueError:  # a clock that was never set writes zeros or blanks
        return None
    try:
        return at.replace(tzinfo=datetime.strptime(_text(block.get(offset)), "%z").tzinfo)
    except ValueError:
        return at


def _text(value: object) -> str:
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).strip("\0 ")


def _of_xmp(text: str, name: str) -> datetime | None:
    """Read the value of a property, written as an attribute or as an element."""
    found = re.search(rf"""\b{name}(?:\s*=\s*["']|\s*>\s*)([0-9:T.Z+-]{{16,40}})""", text)
    try:
        return None if found is None else datetime.fromisoformat(found[1])
    except ValueError:
        return None
