"""What an image file's first bytes tell: its format and its size. Nothing is inflated, decoded or allocated here.

Pillow is not asked, because some of its plug-ins allocate whole canvases or inflate profiles while they open a file.
"""

from __future__ import annotations

import re
import struct

from imagebatch_server.batches.model import ImageHeader

PROBE_BYTES = 64 * 1024
"""How much of a file's start `header` is worth giving."""

ACCEPTED = "JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF"


def header(data: bytes) -> ImageHeader | None:
    """The header in a file's first bytes; None when they are no accepted image or don't hold its size."""
    image_format = sniff(data)
    size = None if image_format is None else stored_size(image_format, data)
    if image_format is None or size is None or not all(0 < side < 2**31 for side in size):  # the contract's int32
        return None
    return ImageHeader(*size, image_format)


def sniff(data: bytes) -> str | None:
    """The accepted format that the content is in, whatever the file is called; None for any other."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "tiff"
    if data.startswith(b"BM") and data[14:18] in _BMP_HEADERS:
        return "bmp"
    if data[4:8] == b"ftyp" and _brands(data) & {b"avif", b"avis"}:
        return "avif"
    return None


def stored_size(image_format: str, data: bytes) -> tuple[int, int] | None:
    """Width and height as an accepted format's header states them, zeros included; None when they can't be read."""
    try:
        return _SIZES[image_format](data)
    except (struct.error, IndexError, OverflowError):  # cut off, or offsets beyond what can be counted
        return None


def looks_like(data: bytes) -> str:
    """What content in no accepted format seems to be, in words that complete 'the content looks like ...'."""
    if data[4:8] == b"ftyp":
        return "HEIC" if _brands(data) & _HEIC_BRANDS else "a video or another ISO media file"
    for magic, name in _MAGICS:
        if data.startswith(magic):
            return name
    start = data[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.search(rb"<svg[\s>]", start, re.IGNORECASE):
        return "SVG, which is a drawing and no bitmap"
    if re.match(rb"<(!doctype\s+html|html|head|body)", start, re.IGNORECASE):
        return "an HTML page (a login page, or a link to a page instead of the picture?)"
    if start.startswith(b"<"):
        return "XML"
    if start.startswith((b"{", b"[")):
        return "JSON"
    return "text" if _is_text(data[:4096]) else "no image format that is known here"


def _is_text(start: bytes) -> bool:
    printable = bytes(range(0x20, 0x7F)) + b"\t\r\n\f\x1b" + bytes(range(0x80, 0x100))
    return not start.translate(None, printable)


def _brands(data: bytes) -> set[bytes]:
    box = data[: min(struct.unpack(">I", data[:4])[0], 512)]
    return {box[8:12]} | {box[at : at + 4] for at in range(16, len(box), 4)}


def _png(data: bytes) -> tuple[int, int] | None:
    if data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    if data[14:18] == b"\x0c\0\0\0":
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # a negative height means rows from the top


def _webp(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        fields = struct.unpack_from("<HBHB", data, 24)
        return fields[0] + (fields[1] << 16) + 1, fields[2] + (fields[3] << 16) + 1
    if chunk == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD8:  # stuffing, fill bytes and markers without a segment
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xD9, 0xDA):
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        (length,) = struct.unpack_from(">H", data, at + 2)
        at += 2 + length
    return None


def _tiff(data: bytes) -> tuple[int, int] | None:
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    (start,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, start)
    first, entry_bytes, value_at = (start + 8, 20, 12) if big else (start + 2, 12, 8)
    found: dict[int, int] = {}
    for number in range(min(count, 65535)):
        at = first + number * entry_bytes
        tag, kind = struct.unpack_from(order + "HH", data, at)
        if tag in (256, 257) and kind in _TIFF_INTEGERS:
            (found[tag],) = struct.unpack_from(order + _TIFF_INTEGERS[kind], data, at + value_at)
            if len(found) == 2:
                return found[256], found[257]
    return None


def _avif(data: bytes) -> tuple[int, int] | None:
    # A grid has a size for each tile and one for the whole, so the largest is the image's.
    sizes = [struct.unpack_from(">II", data, at.end() + 4) for at in re.finditer(b"ispe", data[:PROBE_BYTES])]
    width, height = max(sizes, key=lambda size: size[0] * size[1], default=(None, None))
    return None if width is None or height is None else (width, height)


_SIZES = {"jpeg": _jpeg, "png": _png, "gif": _gif, "webp": _webp, "tiff": _tiff, "bmp": _bmp, "avif": _avif}
_TIFF_INTEGERS = {3: "H", 4: "I", 16: "Q"}
_BMP_HEADERS = {struct.pack("<I", size) for size in (12, 40, 52, 56, 64, 108, 124)}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_MAGICS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\0\0\2\0", "a cursor (CUR)"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"qoif", "QOI"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "gzip"),
    (b"RIFF", "audio or video (RIFF)"),
    (b"\x1aE\xdf\xa3", "video (Matroska or WebM)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
