"""What a file's first bytes tell."""

from __future__ import annotations

import pytest
from tests.unit.images.crafted import encoded, gif, jpeg_with, photo, png, riff, tiff, webp_canvas

from imagebatch_server.batches.model import HEAD_BYTES, ImageHeader
from imagebatch_server.images.header import header, looks_like, sniff

FORMATS = ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif")


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_accepted_format_tells_its_size(image_format: str) -> None:
    data = encoded(photo(301, 203), image_format)
    assert header(data[:HEAD_BYTES]) == ImageHeader(301, 203, image_format)


def test_webp_tells_its_size_in_each_of_its_three_forms() -> None:
    for options in ({}, {"lossless": True}, {"lossless": True, "exif": b"Exif\0\0"}):
        assert header(encoded(photo(301, 203), "webp", **options)) == ImageHeader(301, 203, "webp")
    with_alpha = encoded(photo(301, 203).convert("RGBA"), "webp")
    assert header(with_alpha) == ImageHeader(301, 203, "webp")


def test_tiff_tells_its_size_in_both_byte_orders_and_as_bigtiff() -> None:
    tags = [(256, 3, 1, 301), (257, 4, 1, 203)]
    assert header(tiff(tags, order="<")) == ImageHeader(301, 203, "tiff")
    assert header(tiff(tags, order=">")) == ImageHeader(301, 203, "tiff")
    assert header(encoded(photo(301, 203), "tiff", big_tiff=True)) == ImageHeader(301, 203, "tiff")


def test_bmp_may_start_from_the_top() -> None:
    data = bytearray(encoded(photo(301, 203), "bmp"))
    data[22:26] = (-203).to_bytes(4, "little", signed=True)
    assert header(bytes(data)) == ImageHeader(301, 203, "bmp")


def test_jpeg_is_found_behind_metadata_and_is_unknown_while_only_that_is_there() -> None:
    data = encoded(photo(301, 203), "jpeg")
    for _ in range(2):
        data = jpeg_with(data, 0xE2, b"x" * 60_000)
    assert header(data) == ImageHeader(301, 203, "jpeg")
    assert header(data[:HEAD_BYTES]) is None


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_header_cut_anywhere_is_unknown_or_right(image_format: str) -> None:
    data = encoded(photo(301, 203), image_format)
    for end in range(min(len(data), 700)):
        assert header(data[:end]) in (None, ImageHeader(301, 203, image_format))


@pytest.mark.parametrize(
    "data",
    [
        png(0, 7),
        png(7, 0),
        gif(0, 7),
        riff((b"VP8 ", b"\0\0\0\x9d\x01\x2a" + b"\0" * 8)),
        tiff([(256, 3, 1, 0), (257, 3, 1, 1)]),
    ],
    ids=["png width", "png height", "gif", "webp", "tiff"],
)
def test_a_size_of_zero_is_no_header(data: bytes) -> None:
    assert header(data) is None


def test_a_size_beyond_the_contracts_numbers_is_no_header() -> None:
    assert header(png(2**31, 1)) is None
    assert header(tiff([(256, 4, 1, 2**32 - 1), (257, 4, 1, 1)])) is None


def test_nothing_is_allocated_for_a_claimed_size() -> None:
    assert header(riff(webp_canvas(16_000_000, 16_000_000))) == ImageHeader(16_000_000, 16_000_000, "webp")
    assert header(png(2**31 - 1, 2**31 - 1)) == ImageHeader(2**31 - 1, 2**31 - 1, "png")


def test_content_decides_and_not_a_lookalike() -> None:
    assert sniff(b"BM and no bitmap at all") is None  # text may start with these letters
    assert sniff(b"RIFF\0\0\0\0WAVEfmt ") is None
    assert sniff(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic") == "heif"
    assert sniff(b"\0\0\0\x18ftypisom\0\0\0\0isommp42") is None
    assert sniff(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") == "avif"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<SVG width='1'>", "SVG"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"error": "not found"}', "JSON"),
        (b"a letter\n", "text"),
        ("Grüße".encode(), "text"),
        (b"%PDF-1.7", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\0\0\1\0\1\0", "ICO"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "video"),
        (b"P6 1 1 255\nabc", "PNM"),
        (b"PK\3\4\x14\0", "ZIP"),
        (b"RIFF\0\0\0\0WAVEfmt ", "RIFF"),
        (b"\0\1\2\3\4\5", "no image format"),
    ],
)
def test_other_content_is_called_by_its_name(data: bytes, name: str) -> None:
    assert sniff(data) is None
    assert name in looks_like(data).words
