"""Formats beyond the usual: what is read, and that what isn't is called by its name and not damaged."""

from __future__ import annotations

import io
import struct
from typing import Any

import PIL.Image
import pytest
from PIL import ImageChops, ImageStat
from tests.unit.images.crafted import (
    bigtiff,
    bmp,
    chunk,
    encoded,
    photo,
    psd,
    raw_file,
    small_tiff,
    tiff,
)

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import UnsupportedPicture
from imagebatch_server.images import formats
from imagebatch_server.images.decode import Image
from imagebatch_server.images.header import header, sniff


def difference(one: PIL.Image.Image, other: PIL.Image.Image) -> float:
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


def heic(picture: PIL.Image.Image, **options: Any) -> bytes:
    """Make what an encoder does that ships with nothing here."""
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    return encoded(picture, "heif", **options)


def jxl(picture: PIL.Image.Image, **options: Any) -> bytes:
    pylibjxl = pytest.importorskip("pylibjxl")
    numpy = pytest.importorskip("numpy")
    made = pylibjxl.encode(numpy.asarray(picture), distance=0.3, **options)
    assert isinstance(made, bytes)
    return made


def turned(orientation: int = 6) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_jpeg_2000_is_read() -> None:
    for options in ({}, {"no_jp2": True}):
        data = encoded(photo(), "jpeg2000", **options)
        image = Image.open(data)
        assert (image.format, image.width, image.height, image.frame_count) == ("jpeg2000", 96, 64, 1)
        assert difference(image.pixels, photo()) < 1
        assert header(data) is not None


def test_a_photoshop_documents_flat_picture_is_read() -> None:
    data = psd([band.tobytes() for band in photo().split()], 96, 64)
    image = Image.open(data)
    assert (image.format, image.width, image.height, image.frame_count) == ("psd", 96, 64, 1)
    assert difference(image.pixels, photo()) == 0
    assert Image.open(data[:-900]).pixels.size == (96, 64)


def test_of_a_raw_file_the_largest_preview_is_read_and_said_to_be_one() -> None:
    small, large = encoded(photo(24, 16), "jpeg"), encoded(photo(), "jpeg", quality=95)
    in_box = struct.pack(">I", 8 + len(small + large)) + b"mdat" + small + large
    files = {
        "DNG": raw_file(small + large),
        "RAF": b"FUJIFILMCCD-RAW " + bytes(84) + small + large + bytes(1_000),
        "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + in_box,
        "RW2": b"IIU\0" + bytes(60) + large + small,
    }
    for name, data in files.items():
        image = Image.open(data)
        assert (image.format, image.is_preview, image.upright_size) == ("raw", True, (96, 64)), name
        assert difference(image.pixels, photo()) < 4, name
        assert sniff(data[:64_000]) == "raw", name
    lying = Image.open(raw_file(large, orientation=6))
    assert (lying.orientation, lying.upright_size) == (6, (64, 96))
    assert not Image.open(large).is_preview


def test_a_raw_file_without_a_preview_is_unsupported() -> None:
    assert "only the preview is read" in refused(raw_file(bytes(100)))


def test_heic_is_read_and_turned_by_its_container_alone() -> None:
    pytest.importorskip("pi_heif")
    for options in ({}, {"exif": turned()}):
        image = Image.open(heic(photo(), quality=95, **options))
        assert (image.format, image.width, image.height, image.frame_count) == ("heif", 96, 64, 1)
        assert (image.orientation, image.upright_size) == (1, (96, 64))
        assert difference(image.pixels, photo()) < 4
    clear = PIL.Image.new("RGBA", (96, 64), (255, 0, 0, 0))
    assert difference(Image.open(heic(clear)).pixels, PIL.Image.new("RGB", (96, 64), "white")) < 3


def test_jpeg_xl_is_read() -> None:
    for picture in (photo(), photo().convert("RGBA"), photo().convert("L").convert("RGB")):
        image = Image.open(jxl(picture))
        assert (image.format, image.width, image.height) == ("jxl", 96, 64)
        assert difference(image.pixels, picture.convert("RGB")) < 3


@pytest.mark.parametrize(
    ("data", "module", "extra"),
    [(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "pi_heif", "heif"), (b"\xff\x0a\xfa", "pylibjxl", "jxl")],
)
def test_what_needs_an_extra_says_which(data: bytes, module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == module else object())
    formats.readable.cache_clear()
    formats.accepted.cache_clear()
    assert f"imagebatch[{extra}]" in refused(data)
    assert extra not in formats.readable()
    formats.readable.cache_clear()
    formats.accepted.cache_clear()


def with_marker(marker: int) -> bytes:
    data = encoded(photo(), "jpeg")
    at = data.index(b"\xff\xc0") + 1
    return data[:at] + bytes([marker]) + data[at + 1 :]


def precision_of_12() -> bytes:
    data = encoded(photo(), "jpeg")
    at = data.index(b"\xff\xc0") + 4
    return data[:at] + b"\x0c" + data[at + 1 :]


def cgbi() -> bytes:
    data = encoded(photo(), "png")
    return data[:8] + chunk(b"CgBI", b"P\0 \6") + data[8:]


def masks(*values: int) -> bytes:
    return struct.pack("<3I", *values)


def with_bytes(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


FLOATS, ALPHA, PLANES = (339, 3, 1, 3), (338, 3, 1, 2), (284, 3, 1, 2)
UNSUPPORTED = {
    "WebP compression": small_tiff(8, 1, bytes(64), compression=50001),
    "JPEG 2000 compression": small_tiff(8, 1, bytes(64), compression=34712),
    "JPEG 2000 (Aperio) compression": small_tiff(8, 1, bytes(64), compression=33005),
    "LERC compression": small_tiff(8, 1, bytes(64), compression=34887),
    "JPEG XL compression": small_tiff(8, 1, bytes(64), compression=50002),
    "JBIG compression": small_tiff(8, 1, bytes(64), compression=34661),
    "unknown (12345) compression": small_tiff(8, 1, bytes(64), compression=12_345),
    "RGB of 32-bit floating-point samples": small_tiff(32, 3, bytes(768), 2, FLOATS),
    "grey of 64-bit floating-point samples": small_tiff(64, 1, bytes(512), 1, FLOATS),
    "grey of 16-bit floating-point samples": small_tiff(16, 1, bytes(128), 1, FLOATS),
    "grey + alpha of 16-bit samples": small_tiff(16, 2, bytes(256), 1, ALPHA),
    "CMYK + alpha of 8-bit samples": small_tiff(8, 5, bytes(320), 5, ALPHA),
    "RGB of 32-bit samples": small_tiff(32, 3, bytes(768), 2),
    "RGB of 16-bit samples in separate planes": small_tiff(16, 3, bytes(384), 2, PLANES),
    "grey + alpha of 8-bit samples in separate planes": small_tiff(8, 2, bytes(128), 1, ALPHA, PLANES),
    "CIE L*a*b* of 8-bit samples in separate planes": small_tiff(8, 3, bytes(192), 8, PLANES, compression=8),
    "RGB + another sample of 8-bit samples in separate planes": small_tiff(8, 5, bytes(320), 2, (338, 3, 1, 0), PLANES),
    "the layout of a big-endian BigTIFF": bigtiff(">"),
    "Apple's CgBI variant": cgbi(),
    "colours at unusual bits (32": bmp(32, 3, bytes(256), masks=masks(0x3FF00000, 0xFFC00, 0x3FF)),
    "colours at unusual bits (16": bmp(16, 3, bytes(128), masks=masks(0xF00, 0xF0, 0xF)),
    "RLE24 compression": bmp(24, 4, bytes(192), header_bytes=64),
    "Huffman compression": bmp(1, 3, bytes(64), header_bytes=64),
    "a JPEG inside": bmp(0, 4, encoded(photo(8, 8), "jpeg")),
    "a PNG inside": bmp(0, 5, encoded(photo(8, 8), "png")),
    "OS/2's short header": b"BM" + struct.pack("<IHHIIIIHH", 0, 0, 0, 30, 16, 8, 8, 1, 24) + bytes(192),
    "2 bits a pixel": bmp(2, 0, bytes(64)),
    "ZIP compression": with_bytes(psd([bytes(64)] * 3, 8, 8), 50, b"\0\2"),
    "16 bits a channel": psd([bytes(128)] * 3, 8, 8, bits=16),
    "the layout for large documents (PSB)": psd([bytes(64)] * 3, 8, 8, version=2),
    "lossless coding": with_marker(0xC3),
    "hierarchical coding": with_marker(0xC5),
    "JPEG-LS coding": with_marker(0xF7),
    "12 bits a sample": precision_of_12(),
}


def refused(data: bytes) -> str:
    with pytest.raises(UnsupportedPicture) as caught:
        _ = Image.open(data).pixels
    assert caught.value.code is ItemErrorCode.UNSUPPORTED_FORMAT
    return caught.value.message


@pytest.mark.parametrize("feature", UNSUPPORTED)
def test_what_is_not_supported_is_named_and_not_called_damaged(feature: str) -> None:
    message = refused(UNSUPPORTED[feature])
    assert feature in message
    assert "not read here" in message
    assert "whole" not in message


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd"]
)
def test_a_tiffs_usual_compressions_are_read(compression: str) -> None:
    assert difference(Image.open(encoded(photo(), "tiff", compression=compression)).pixels, photo()) < 6


def test_ccitt_and_bigtiff_are_read() -> None:
    bits = photo().convert("1")
    for compression in ("tiff_ccitt", "group3", "group4"):
        data = encoded(bits, "tiff", compression=compression)
        assert difference(Image.open(data).pixels, bits.convert("RGB")) == 0
    assert Image.open(bigtiff("<")).pixels.size == (8, 8)


def test_a_tiff_is_no_raw_file_for_its_orientation_or_maker() -> None:
    file = io.BytesIO()
    photo().save(file, "TIFF", tiffinfo={271: "Canon", 272: "EOS"}, exif=turned())
    assert Image.open(file.getvalue()).format == "tiff"
    assert sniff(tiff([(256, 4, 1, 8), (257, 4, 1, 8), (262, 3, 1, 2)])) == "tiff"
