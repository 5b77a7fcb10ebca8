"""What in a file is not read here, in words: looked for once its decoder has refused it.

Nothing of it is damage. A file that is read after all is never asked about.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from imagebatch_server.images import jpeg, psd
from imagebatch_server.images.items import primary
from imagebatch_server.images.tiff import (
    BITS,
    COMPRESSION,
    EXTRA_SAMPLES,
    PHOTOMETRIC,
    PLANAR,
    SAMPLE_FORMAT,
    SAMPLES,
    Directory,
    Tiff,
    is_read_in_planes,
)


def unsupported_feature(image_format: str, data: bytes, refusal: str) -> str | None:
    """Name the feature for which a file was refused, as in 'the TIFF has ...'; None if none is known in it.

    `refusal` is what the decoder said.
    """
    look = _LOOKS.get(image_format)
    try:
        return None if look is None else look(data, refusal)
    except (struct.error, IndexError):
        return None


def _jpeg(data: bytes, refusal: str) -> str | None:
    found = jpeg.walk(data)
    if found.frame is None:
        return None
    if found.frame == jpeg.JPEG_LS:
        return "JPEG-LS coding"
    number = found.frame - 0xC0
    if number in (3, 7, 11, 15):
        return "lossless coding"
    if number in (5, 6, 13, 14):
        return "hierarchical coding"
    precision, colours = jpeg.precision(found), jpeg.colours(found)
    if precision != 8:
        return f"{precision} bits a sample"
    if colours not in (1, 3, 4):
        return f"{colours} colours"
    return "arithmetic coding" if number in (9, 10) else None


_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT group 3", 4: "CCITT group 4", 6: "old-style JPEG", 7: "JPEG", 9: "JBIG", 10: "JBIG",
    32766: "NeXT", 32809: "ThunderScan", 32895: "IT8", 32908: "Pixar film", 32909: "Pixar log", 32947: "Kodak DCS",
    33003: "JPEG 2000 (Aperio)", 33004: "JPEG 2000 (Aperio)", 33005: "JPEG 2000 (Aperio)", 34661: "JBIG",
    34676: "SGI log", 34677: "SGI log", 34712: "JPEG 2000", 34715: "JBIG2", 34718: "MDI", 34719: "MDI", 34720: "MDI",
    34887: "LERC", 34892: "lossy JPEG (DNG)", 34933: "PNG", 34934: "JPEG XR", 50000: "Zstandard", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
_READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32946, 34925, 50000})
_PHOTOMETRICS = {
    0: "grey", 1: "grey", 2: "RGB", 3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "CIE L*a*b*", 9: "ICC L*a*b*",
    10: "ITU L*a*b*", 32803: "colour filter array", 32844: "log L", 32845: "log Luv", 34892: "linear raw",
}  # fmt: skip
_ORDINARY = (0, 1, 2, 3, 5)
_SAMPLE_FORMATS = {1: "", 2: "signed ", 3: "floating-point ", 4: "undefined ", 5: "complex ", 6: "complex "}


def _tiff(data: bytes, refusal: str) -> str | None:
    file = Tiff(data)
    at = next(file.pages(), None)
    if at is None:
        return None
    tags = file.directory(at, (BITS, COMPRESSION, EXTRA_SAMPLES, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT, SAMPLES))
    compression = tags.get(COMPRESSION, (1,))[0]
    if compression not in _READ_COMPRESSIONS:
        return f"{_COMPRESSIONS.get(compression, f'unknown ({compression})')} compression"
    if file.is_big and file.order == ">":
        return "the layout of a big-endian BigTIFF"
    is_in_planes = not is_read_in_planes({tag: it if tag == BITS else it[0] for tag, it in tags.items() if it})
    return _layout(tags) if is_in_planes or " mode" in refusal else None


def _layout(tags: Directory) -> str | None:
    bits = sorted(set(tags.get(BITS, (1,))))
    kind = _SAMPLE_FORMATS.get(tags.get(SAMPLE_FORMAT, (1,))[0], "")
    photometric = tags.get(PHOTOMETRIC, (0,))[0]
    colours = _PHOTOMETRICS.get(photometric, f"photometric interpretation {photometric}")
    extra = tags.get(EXTRA_SAMPLES, ())
    names = {0: "another sample", 1: "alpha", 2: "alpha"}
    besides = "".join(f" + {names.get(it, 'another sample')}" for it in extra)
    planes = " in separate planes" if tags.get(PLANAR, (1,))[0] == 2 and tags.get(SAMPLES, (1,))[0] > 1 else ""
    if bits == [8] and photometric in _ORDINARY and not (kind or besides or planes):
        return None  # the mode that it has is read, so it is damaged
    return f"{colours}{besides} of {' and '.join(map(str, bits))}-bit {kind}samples{planes}"


_BMP_BITS = (0, 1, 2, 4, 8, 16, 24, 32, 64)


def _bmp(data: bytes, refusal: str) -> str | None:
    if not refusal.startswith("Unsupported BMP") or "alette" in refusal:
        return None
    if data[14:18] == b"\x10\0\0\0":
        return "OS/2's short header"
    size, _, _, _, bits, compression = struct.unpack_from("<IiiHHI", data, 14)
    if bits not in _BMP_BITS:
        return None
    if size == 64 and compression in (3, 4):
        return "Huffman compression" if compression == 3 else "RLE24 compression"
    if compression in (3, 6):
        masks = ", ".join(f"{mask:x}" for mask in struct.unpack_from("<3I", data, 54))
        return f"colours at unusual bits ({bits} bits a pixel, masks {masks})"
    inside = {4: "a JPEG inside", 5: "a PNG inside"}
    return inside.get(compression, f"{bits} bits a pixel" if "depth" in refusal else f"compression {compression}")


def _psd(data: bytes, refusal: str) -> str | None:
    version, channels, bits, mode = struct.unpack_from(">H6xH8xHH", data, 4)
    if version != 1:
        return "the layout for large documents (PSB)"
    modes = {0: "bitmap", 1: "grey", 2: "palette", 3: "RGB", 4: "CMYK", 7: "multichannel", 8: "duotone", 9: "L*a*b*"}
    if psd.compression(data) > 1:
        return "ZIP compression of its flat picture"
    read = {(0, 1), *((it, 8) for it in (0, 1, 2, 3, 4, 7, 8, 9))}
    return None if (mode, bits) in read else f"{bits} bits a channel ({modes.get(mode, mode)}, {channels} channels)"


_CODINGS = {
    b"j2k1": "JPEG 2000", b"jpeg": "JPEG", b"unci": "uncompressed pixels", b"vvc1": "VVC", b"evc1": "EVC",
    b"avc1": "H.264",
}  # fmt: skip


def _items(data: bytes, refusal: str) -> str | None:
    kinds = primary(data).kinds
    coded = [words for kind, words in _CODINGS.items() if kind in kinds]
    if coded:
        return f"items coded by {' and '.join(coded)}"
    return "a gain map (tmap)" if b"tmap" in kinds else None


_LOOKS: dict[str, Callable[[bytes, str], str | None]] = {
    "jpeg": _jpeg,
    "tiff": _tiff,
    "bmp": _bmp,
    "psd": _psd,
    "avif": _items,
    "heif": _items,
}
