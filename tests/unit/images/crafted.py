"""Image files built byte by byte, the way that no encoder would."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import PIL.Image


def encoded(image: PIL.Image.Image, image_format: str, **options: Any) -> bytes:
    """Write the file that Pillow makes."""
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def photo(width: int = 96, height: int = 64) -> PIL.Image.Image:
    """Draw a picture in which every direction and channel differs, so that turns and swaps show."""
    red = PIL.Image.linear_gradient("L").resize((width, height))
    green = PIL.Image.linear_gradient("L").rotate(90).resize((width, height))
    blue = PIL.Image.radial_gradient("L").resize((width, height))
    return PIL.Image.merge("RGB", (red, green, blue))


def chunk(name: bytes, data: bytes) -> bytes:
    """Make a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, *extra: bytes, rows: bytes = b"", depth: int = 8, colour: int = 2) -> bytes:
    """Make a PNG with this header; `extra` chunks come before the pixels, `rows` may be fewer than it promises."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


def jpeg_resized(data: bytes, width: int, height: int) -> bytes:
    """Make a JPEG whose header claims another size."""
    at = data.index(b"\xff\xc0") if b"\xff\xc0" in data else data.index(b"\xff\xc2")
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def jpeg_with(data: bytes, marker: int, payload: bytes) -> bytes:
    """Make a JPEG with one more segment at its start."""
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + data[2:]


def tiff(
    tags: list[tuple[int, int, int, int]], *, pixels: bytes = b"", order: str = "<", next_ifd: int = 0, at: int = 8
) -> bytes:
    """Make a TIFF with one directory of (tag, type, count, value) after `pixels`, which start at byte 8."""
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at + len(pixels))
    entries = b""
    for tag, kind, count, value in sorted(tags):
        packed = (
            struct.pack(order + "H", value) + b"\0\0" if kind == 3 and count == 1 else struct.pack(order + "I", value)
        )
        entries += struct.pack(order + "HHI", tag, kind, count) + packed
    return magic + pixels + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", next_ifd)


def grey_tiff(width: int, height: int, bits: int, pixels: bytes, *, photometric: int = 1, order: str = "<") -> bytes:
    """Make an uncompressed grey TIFF, as scanners and microscopes write it."""
    return tiff(
        [
            (256, 4, 1, width),
            (257, 4, 1, height),
            (258, 3, 1, bits),
            (259, 3, 1, 1),
            (262, 3, 1, photometric),
            (273, 4, 1, 8),
            (277, 3, 1, 1),
            (278, 4, 1, height),
            (279, 4, 1, len(pixels)),
        ],
        pixels=pixels,
        order=order,
    )


def gif_frame(left: int, top: int, width: int, height: int) -> bytes:
    """Make a frame of a GIF with one pixel's data, whatever it claims."""
    return b"," + struct.pack("<HHHHB", left, top, width, height, 0) + b"\x02\x02\x44\x01\x00"


def gif(width: int, height: int, *frames: bytes) -> bytes:
    """Make a GIF of two colours."""
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + b"".join(frames) + b";"
    )


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """Make a WebP of these chunks."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(width: int, height: int, *, animated: bool = False) -> tuple[bytes, bytes]:
    """Make the chunk that states a WebP's canvas."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes([0x02 if animated else 0, 0, 0, 0]) + size


def psd(channels: list[bytes], width: int, height: int, *, bits: int = 8, mode: int = 3, version: int = 1) -> bytes:
    """Make a Photoshop document without layers, its resources damaged."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", version, len(channels), height, width, bits, mode)
    resources = b"8BIMjunk\xff\xff\xff\xff"
    lengths = bytes(4) + struct.pack(">I", len(resources)) + resources + bytes(4)
    return header + lengths + b"\0\0" + b"".join(channels)


def small_tiff(
    bits: int, samples: int, pixels: bytes, photometric: int = 1, *more: tuple[int, int, int, int], compression: int = 1
) -> bytes:
    """Make a TIFF of 8 by 8 pixels in one strip."""
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, bits), (259, 3, 1, compression), (262, 3, 1, photometric)]
    place = [(273, 4, 1, 8), (277, 3, 1, samples), (278, 4, 1, 8), (279, 4, 1, len(pixels))]
    return tiff([*tags, *place, *more], pixels=pixels)


def bigtiff(order: str) -> bytes:
    """Grey, 8 by 8, with addresses of 8 bytes."""
    values = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 16), (277, 1), (278, 8), (279, 64)]
    form = order + ("HHQQ" if order == "<" else "HHQI4x")
    entries = b"".join(struct.pack(form, tag, 4, 1, value) for tag, value in values)
    magic = b"II+\0" if order == "<" else b"MM\0+"
    head = magic + struct.pack(order + "HHQ", 8, 0, 80) + bytes(64)
    return head + struct.pack(order + "Q", len(values)) + entries + bytes(8)


def bmp(
    bits: int, compression: int, pixels: bytes, *, header_bytes: int = 40, masks: bytes = b"", size: int = 8
) -> bytes:
    """Make a BMP of this kind, square."""
    start = 14 + header_bytes + len(masks)
    head = b"BM" + struct.pack("<IHHI", 0, 0, 0, start)
    rest = struct.pack("<IiiHHIIiiII", header_bytes, 8, 8, 1, bits, compression, len(pixels), 0, 0, 0, 0)
    return head + rest + bytes(header_bytes - 40) + masks + pixels


def raw_file(preview: bytes, *, orientation: int = 1) -> bytes:
    """Make a DNG: a small first picture of 40 by 26 pixels, as Adobe's have, and a preview."""
    tags = [
        (256, 4, 1, 40),
        (257, 4, 1, 26),
        (258, 3, 1, 8),
        (262, 3, 1, 2),
        (274, 3, 1, orientation),
        (50706, 1, 4, 1),
    ]
    return tiff(tags, pixels=preview)
