"""The chunks of a WebP: those that make the picture, and what the others say of it."""

from __future__ import annotations

import struct

from imagebatch_server.images.core import Core, completed

_PICTURE = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"})
_HEADER_BYTES = 16
"""Of a chunk of pixels: with no more there is nothing to be shown."""
_FLAGS_BESIDE = 0x20 | 0x08 | 0x04
"""In the extended header: there is a profile, EXIF, XMP."""

_MOVES = 0x02


def core(data: bytes) -> Core:
    """Pick the chunks that make the picture; one that is cut off is filled up, so that decoders show what there is."""
    (size,) = struct.unpack_from("<I", data, 4)
    stated = 8 + size + size % 2
    at = 12
    pieces: list[bytes] = []
    said: dict[bytes, bytes] = {}
    is_cut = False
    while at + 8 <= min(stated, len(data)):
        name = data[at : at + 4]
        (length,) = struct.unpack_from("<I", data, at + 4)
        end = at + 8 + length
        body = data[at + 8 : min(end, len(data))]
        if name in _PICTURE:
            if name == b"VP8X" and body:
                body = bytes([body[0] & ~_FLAGS_BESIDE]) + body[1:]
            if len(body) < length:
                is_cut = True
                body = completed(body, length) if len(body) > _HEADER_BYTES else body
            pieces.append(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2))
        else:
            said.setdefault(name, body)
        at = end + length % 2
    if any(piece.startswith(b"ANIM") for piece in pieces):  # a still picture may be whole where the file isn't
        is_cut = is_cut or stated > len(data) + size % 2
    else:
        pieces = [_still(it) for it in pieces]
    together = b"WEBP" + b"".join(pieces)
    return Core(
        format="webp",
        data=b"RIFF" + struct.pack("<I", len(together)) + together,
        is_truncated=is_cut,
        icc_profile=said.get(b"ICCP"),
        exif=said.get(b"EXIF", b""),
        xmp=said.get(b"XMP "),
    )


def _still(piece: bytes) -> bytes:
    """Take the mark of an animation off the extended header of a file that has none."""
    return piece[:8] + bytes([piece[8] & ~_MOVES]) + piece[9:] if piece.startswith(b"VP8X") and piece[8:] else piece
