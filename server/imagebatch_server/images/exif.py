"""What EXIF says of a picture, where it says anything usable."""

from __future__ import annotations

import struct
import zlib
from datetime import datetime

import PIL.Image
from PIL.ExifTags import IFD, Base


def exif_of(opened: PIL.Image.Image, image_format: str, data: bytes) -> PIL.Image.Exif | None:
    """The EXIF block of an image that was opened and not decoded; None if it is damaged."""
    try:
        if image_format == "png" and "exif" not in opened.info and (late := _behind_pixels(data)):
            opened.info["exif"] = late
        return PIL.Image.Image.getexif(opened)  # the plain one: PNG's own would decode the pixels to look behind them
    except Exception:  # a damaged EXIF block raises nearly anything, and is no reason to refuse a picture
        return None


def orientation(exif: PIL.Image.Exif | None) -> int:
    """How the stored picture is to be turned, 1 to 8; 1 where nothing usable is said."""
    value = None if exif is None else exif.get(Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def captured_at(exif: PIL.Image.Exif | None) -> datetime | None:
    """DateTimeOriginal, naive; None where nothing usable is said."""
    if not exif:
        return None
    try:
        value = exif.get_ifd(IFD.Exif).get(Base.DateTimeOriginal)
        return datetime.strptime(str(value).rstrip("\0 "), "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - cameras name no zone
    except Exception:  # as above; and a clock that was never set writes zeros or blanks
        return None


def _behind_pixels(data: bytes) -> bytes | None:
    """The block of a PNG that has it after its pixels, which Pillow finds only once it has decoded them."""
    at = data.rfind(b"eXIf")
    if at < 4:
        return None
    (size,) = struct.unpack_from(">I", data, at - 4)
    end = at + 4 + size
    is_chunk = data[end : end + 4] == struct.pack(">I", zlib.crc32(data[at:end]))
    return data[at + 4 : end] if is_chunk else None
