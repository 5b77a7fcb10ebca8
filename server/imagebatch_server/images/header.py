"""What an image file's first bytes tell: its format and its size. Nothing is inflated, decoded or allocated here.

Pillow is not asked, because some of its plug-ins allocate whole canvases or inflate profiles while they open a file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from imagebatch_server.batches.model import ImageHeader
from imagebatch_server.images.boxes import find
from imagebatch_server.images.items import primary
from imagebatch_server.images.raw import is_raw
from imagebatch_server.images.tiff import HEIGHT, WIDTH, Tiff


def header(data: bytes) -> ImageHeader | None:
    """Read the header in a file's first bytes; None when they are no accepted image or don't hold its size."""
    image_format = sniff(data)
    size = None if image_format is None else stored_size(image_format, data)
    if image_format is None or size is None or not all(0 < side < 2**31 for side in size):  # the contract's int32
        return None
    return ImageHeader(*size, image_format)


def sniff(data: bytes) -> str | None:
    """Tell the format that the content is in, whatever the file is called; None for one that is never read."""
    if is_raw(data):  # before TIFF, which most of them look like
        return "raw"
    if data[4:8] == b"ftyp":
        return _by_brand(data)
    for name, starts in _STARTS.items():
        if data.startswith(starts):
            is_other = (name == "webp" and data[8:12] != b"WEBP") or (name == "bmp" and data[14:18] not in _BMP_HEADERS)
            return None if is_other else name
    return None


def _by_brand(data: bytes) -> str | None:
    brands = _brands(data)
    if brands & {b"avif", b"avis"}:
        return "avif"
    return "heif" if brands & _HEIC_BRANDS else None


def stored_size(image_format: str, data: bytes) -> tuple[int, int] | None:
    """Width and height as an accepted format's header states them, zeros included; None when they can't be read."""
    read = _SIZES.get(image_format)
    try:
        return None if read is None else read(data)
    except (struct.error, IndexError, OverflowError):  # cut off, or offsets beyond what can be counted
        return None


@dataclass(frozen=True)
class Seen:
    """What content in no accepted format seems to be."""

    words: str
    """They complete 'the content looks like ...'."""
    is_picture: bool = False


def looks_like(data: bytes) -> Seen:
    """Tell what content in no accepted format seems to be."""
    if data[4:8] == b"ftyp":
        return (
            Seen("HEIC", is_picture=True) if _brands(data) & _HEIC_BRANDS else Seen("a video or another ISO media file")
        )
    by_magic = [seen for magic, seen in _MAGICS if data.startswith(magic)]
    return by_magic[0] if by_magic else _text_like(data[:4096])


def _text_like(start: bytes) -> Seen:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if re.search(rb"<svg[\s>]", text, re.IGNORECASE):
        return Seen("SVG, which is a drawing and no bitmap", is_picture=True)
    if re.match(rb"<(!doctype\s+html|html|head|body)", text, re.IGNORECASE):
        return Seen("an HTML page (a login page, or a link to a page instead of the picture?)")
    if text.startswith(b"<"):
        return Seen("XML")
    if text.startswith((b"{", b"[")):
        return Seen("JSON")
    return Seen("text" if _is_text(start) else "no image format that is known here")


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
    if data[14:18] == b"\x0c\0\0\0":  # OS/2's first header
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return max(0, width), abs(height)  # a negative height means rows from the top


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
    file = Tiff(data)
    first = next(file.pages(), None)
    found = {} if first is None else file.directory(first, (WIDTH, HEIGHT))
    return (found[WIDTH][0], found[HEIGHT][0]) if found.get(WIDTH) and found.get(HEIGHT) else None


def _item(data: bytes) -> tuple[int, int] | None:
    item = primary(data)
    return (item.width, item.height) if item.width or item.height else None


def _psd(data: bytes) -> tuple[int, int]:
    height, width = struct.unpack_from(">II", data, 14)
    return width, height


def _jpeg2000(data: bytes) -> tuple[int, int] | None:
    if data.startswith(_J2K):
        right, bottom, left, top = struct.unpack_from(">4I", data, 8)
        return right - left, bottom - top
    box = find(data, b"jp2h", b"ihdr")
    if box is None:
        return None
    height, width = struct.unpack_from(">II", data, box.body)
    return width, height


_SIZES: dict[str, Callable[[bytes], tuple[int, int] | None]] = {
    "jpeg": _jpeg,
    "png": _png,
    "gif": _gif,
    "webp": _webp,
    "tiff": _tiff,
    "bmp": _bmp,
    "avif": _item,
    "heif": _item,
    "psd": _psd,
    "jpeg2000": _jpeg2000,
}
_J2K = b"\xff\x4f\xff\x51"
_STARTS = {
    "jpeg": (b"\xff\xd8",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
    "tiff": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "bmp": (b"BM",),
    "jpeg2000": (b"\0\0\0\x0cjP  ", _J2K),
    "jxl": (b"\0\0\0\x0cJXL ", b"\xff\x0a"),
    "psd": (b"8BPS",),
}
_BMP_HEADERS = {struct.pack("<I", size) for size in (12, 16, 40, 52, 56, 64, 108, 124)}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_PICTURES = (
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\0\0\2\0", "a cursor (CUR)"),
    (b"qoif", "QOI"),
    (b"II\xbc\1", "JPEG XR"),
    (b"v/1\1", "OpenEXR"),
    (b"DDS ", "a DirectDraw surface (DDS)"),
    (b"#?RADIANCE", "a Radiance picture (HDR)"),
    (b"icns", "an icon (ICNS)"),
    (b"gimp xcf", "a GIMP document (XCF)"),
    (b"\x8aMNG", "an animation (MNG)"),
    (b"\x8bJNG", "JNG"),
    (b"BPG\xfb", "BPG"),
    (b"FLIF", "FLIF"),
    (b"DJVU", "DjVu"),
    (b"SIMPLE  =", "FITS"),
    (b"\xab\x4b\x54\x58", "a texture (KTX)"),
    *((b"P%d" % kind + space, "PNM") for kind in range(1, 8) for space in (b"\n", b" ", b"\t", b"\r\n")),
)
_OTHERS = (
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "gzip"),
    (b"RIFF", "audio or video (RIFF)"),
    (b"\x1aE\xdf\xa3", "video (Matroska or WebM)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_MAGICS = (
    *((magic, Seen(words, is_picture=True)) for magic, words in _PICTURES),
    *((magic, Seen(words)) for magic, words in _OTHERS),
)
