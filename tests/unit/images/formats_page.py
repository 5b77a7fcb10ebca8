"""The table in docs/formats.md, made by reading a file of every kind.

    python -m tests.unit.images.formats_page

writes it anew.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PIL.Image
from PIL import ImageChops, ImageStat
from tests.unit.images.crafted import chunk, encoded, photo, psd, raw_file, small_tiff
from tests.unit.images.test_formats import UNSUPPORTED, heic, jxl

from imagebatch_server.batches.errors import ItemError, UnsupportedPicture
from imagebatch_server.images.decode import Image
from imagebatch_server.operations import ItemContext
from imagebatch_server.operations.thumbnail import Thumbnail, ThumbnailParameters

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
BEGIN, END = "<!-- the table begins -->\n", "<!-- the table ends -->\n"
HEAD = "| format | variant | read by | frames | colours | what the error says |\n|---|---|---|---|---|---|\n"
ALL = "describe, verify, thumbnail"


@dataclass(frozen=True)
class Variant:
    """One kind of file, of the picture `photo()`."""

    format: str
    words: str
    make: Callable[[], bytes]
    colours: str = ""
    expected: Callable[[], PIL.Image.Image] | None = photo
    tolerance: float = 5.0
    """The mean difference from what is expected that coding with loss may make."""


def _grey() -> PIL.Image.Image:
    return photo().convert("L").convert("RGB")


def _saved(image_format: str, mode: str = "RGB", **options: Any) -> Callable[[], bytes]:
    return lambda: encoded(photo().convert(mode), image_format, **options)


def _moving(image_format: str) -> Callable[[], bytes]:
    others = [photo().rotate(180), photo().rotate(90)]
    return lambda: encoded(photo(), image_format, save_all=True, append_images=others, duration=100)


def _with(*chunks: bytes) -> Callable[[], bytes]:
    data = encoded(photo(), "png")
    return lambda: data[:33] + b"".join(chunks) + data[33:]


def _cut(image_format: str) -> Callable[[], bytes]:
    return lambda: encoded(photo(), image_format)[:-2]


def _raw() -> bytes:
    return raw_file(encoded(photo(), "jpeg", quality=95))


def _psd() -> bytes:
    return psd([band.tobytes() for band in photo().split()], 96, 64)


_GAMMA = chunk(b"gAMA", struct.pack(">I", 100_000))
_PQ = chunk(b"cICP", bytes([9, 16, 0, 1]))
_AS_THEY_STAND, _BY_PROFILE = "sRGB, or by its ICC profile", "by a grey ICC profile, if there is one"
_BY_INKS = "by its ICC profile, else by a plain formula"

VARIANTS = (
    Variant("JPEG", "baseline", _saved("jpeg", quality=95), _AS_THEY_STAND),
    Variant("JPEG", "progressive", _saved("jpeg", progressive=True, quality=95), _AS_THEY_STAND),
    Variant("JPEG", "grey", _saved("jpeg", "L", quality=95), _BY_PROFILE, _grey),
    Variant("JPEG", "CMYK", _saved("jpeg", "CMYK", quality=95), _BY_INKS),
    Variant("JPEG", "without its end mark", _cut("jpeg"), _AS_THEY_STAND),
    Variant("JPEG", "lossless", lambda: UNSUPPORTED["lossless coding"]),
    Variant("JPEG", "12 bits", lambda: UNSUPPORTED["12 bits a sample"]),
    Variant("JPEG", "JPEG-LS", lambda: UNSUPPORTED["JPEG-LS coding"]),
    Variant("PNG", "RGB", _saved("png"), "sRGB, or by cICP, iCCP, or gAMA with cHRM, in this order"),
    Variant("PNG", "gAMA", _with(_GAMMA), "through its gamma", None),
    Variant("PNG", "cICP with PQ or HLG", _with(_PQ), "tone mapped as in Chromium 156", None),
    Variant("PNG", "grey, 16 bits", _saved("png", "I;16"), _BY_PROFILE, None),
    Variant("PNG", "palette", _saved("png", "P"), _AS_THEY_STAND, lambda: photo().convert("P").convert("RGB")),
    Variant("PNG", "animation (APNG)", _moving("png"), _AS_THEY_STAND),
    Variant("PNG", "Apple's CgBI", lambda: UNSUPPORTED["Apple's CgBI variant"]),
    Variant("WebP", "with loss", _saved("webp", quality=95), _AS_THEY_STAND),
    Variant("WebP", "lossless", _saved("webp", lossless=True), _AS_THEY_STAND),
    Variant("WebP", "animation", _moving("webp"), _AS_THEY_STAND),
    Variant("GIF", "one frame", _saved("gif"), "sRGB", tolerance=9.0),
    Variant("GIF", "animation", _moving("gif"), "sRGB", tolerance=9.0),
    Variant("BMP", "24 bits", _saved("bmp"), "sRGB"),
    Variant("BMP", "32 bits, alpha zero all over", _saved("bmp", "RGBA"), "sRGB; such alpha is passed over"),
    Variant("BMP", "unusual masks", lambda: UNSUPPORTED["colours at unusual bits (32"]),
    Variant("BMP", "RLE24", lambda: UNSUPPORTED["RLE24 compression"]),
    Variant("BMP", "OS/2's short header", lambda: UNSUPPORTED["OS/2's short header"]),
    Variant("TIFF", "uncompressed", _saved("tiff"), _AS_THEY_STAND),
    Variant("TIFF", "LZW", _saved("tiff", compression="tiff_lzw"), _AS_THEY_STAND),
    Variant("TIFF", "deflate", _saved("tiff", compression="tiff_adobe_deflate"), _AS_THEY_STAND),
    Variant("TIFF", "JPEG", _saved("tiff", compression="jpeg"), _AS_THEY_STAND),
    Variant("TIFF", "LZMA", _saved("tiff", compression="lzma"), _AS_THEY_STAND),
    Variant("TIFF", "Zstandard", _saved("tiff", compression="zstd"), _AS_THEY_STAND),
    Variant("TIFF", "CMYK", _saved("tiff", "CMYK"), _BY_INKS),
    Variant("TIFF", "CIE L*a*b*", lambda: small_tiff(8, 3, bytes([128, 0, 0]) * 64, 8), "through CIE L*a*b*", None),
    Variant("TIFF", "grey, floating point", _saved("tiff", "F"), "0 to 1, 0 to 255, or from least to most", _grey),
    Variant("TIFF", "several pages", _moving("tiff"), _AS_THEY_STAND),
    Variant("TIFF", "WebP", lambda: UNSUPPORTED["WebP compression"]),
    Variant("TIFF", "JPEG 2000", lambda: UNSUPPORTED["JPEG 2000 compression"]),
    Variant("TIFF", "LERC", lambda: UNSUPPORTED["LERC compression"]),
    Variant("TIFF", "JPEG XL", lambda: UNSUPPORTED["JPEG XL compression"]),
    Variant("TIFF", "RGB, floating point", lambda: UNSUPPORTED["RGB of 32-bit floating-point samples"]),
    Variant("TIFF", "grey, 64-bit floating point", lambda: UNSUPPORTED["grey of 64-bit floating-point samples"]),
    Variant("TIFF", "grey with alpha, 16 bits", lambda: UNSUPPORTED["grey + alpha of 16-bit samples"]),
    Variant("TIFF", "CMYK with alpha", lambda: UNSUPPORTED["CMYK + alpha of 8-bit samples"]),
    Variant("TIFF", "16 bits in separate planes", lambda: UNSUPPORTED["RGB of 16-bit samples in separate planes"]),
    Variant("TIFF", "big-endian BigTIFF", lambda: UNSUPPORTED["the layout of a big-endian BigTIFF"]),
    Variant("AVIF", "still", _saved("avif", quality=95), "by its ICC profile or its numbers; PQ and HLG tone mapped"),
    Variant("AVIF", "animation", _moving("avif"), _AS_THEY_STAND),
    Variant("HEIC, HEIF", "extra `heif`", lambda: heic(photo(), quality=95), "as AVIF"),
    Variant("JPEG 2000", "JP2, J2K", _saved("jpeg2000"), _AS_THEY_STAND),
    Variant("JPEG XL", "extra `jxl`", lambda: jxl(photo()), "by its ICC profile; HDR not tone mapped"),
    Variant("PSD", "8 bits, flat picture", _psd, _AS_THEY_STAND),
    Variant("PSD", "16 bits", lambda: UNSUPPORTED["16 bits a channel"]),
    Variant("PSD", "ZIP", lambda: UNSUPPORTED["ZIP compression"]),
    Variant("PSD", "PSB", lambda: UNSUPPORTED["the layout for large documents (PSB)"]),
    Variant("camera raw", "with a preview (DNG, CR2, CR3, NEF, ARW, ORF, RW2, RAF, PEF)", _raw, "of its preview"),
    Variant("camera raw", "without a preview", lambda: raw_file(bytes(100))),
    Variant("SVG", "any", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    Variant("ICO", "any", lambda: b"\0\0\1\0\1\0"),
    Variant("PNM", "any", lambda: b"P6 1 1 255\nabc"),
)


def rows() -> Iterator[str]:
    """Each line of the table. Raises AssertionError where a picture is shown otherwise than it is meant."""
    for variant in VARIANTS:
        read, frames, told = _tried(variant)
        colours = variant.colours if read.startswith("describe") else ""
        yield f"| {variant.format} | {variant.words} | {read} | {frames} | {colours} | {told} |\n"


def _tried(variant: Variant) -> tuple[str, str, str]:
    data = variant.make()
    try:
        image = Image.open(data)
        Thumbnail().run(image, ThumbnailParameters(), ItemContext(0))
    except ItemError as error:
        verdict = "cannot_tell" if isinstance(error, UnsupportedPicture) else "contradicted"
        message = error.message.partition("; accepted are")[0]
        return f"none; verify's integrity is {verdict}", "", f"{error.code.name}: {message}"
    if variant.expected is not None:
        difference = ImageStat.Stat(ImageChops.difference(image.pixels, variant.expected())).mean
        assert max(difference) < variant.tolerance, (variant, difference)
    read = f"{ALL}{' (its preview, said in `is_preview`)' if image.is_preview else ''}"
    told = "nothing; `is_truncated` says it, with `strict` DECODE_FAILED" if image.is_truncated else ""
    return read, _frames(image), told


def _frames(image: Image) -> str:
    if image.is_animated:
        return "the first; thumbnail: any by `frame`, all by `animation`"
    return "the first page; thumbnail: any by `frame`" if image.frame_count > 1 else "its one"


def table() -> str:
    """Write the whole table."""
    return HEAD + "".join(rows())


def with_table(page: str, made: str) -> str:
    """Write the page with this table in place of its own."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + made + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(), table()))
