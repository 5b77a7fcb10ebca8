"""Files that are made to hurt: each fails as one item with its code, quickly and in little memory."""

from __future__ import annotations

import resource
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
import pytest
from tests.unit.images.crafted import (
    chunk,
    encoded,
    gif,
    gif_frame,
    grey_tiff,
    jpeg_resized,
    jpeg_with,
    photo,
    png,
    riff,
    tiff,
    webp_canvas,
)

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image

MEGABYTE = 1024 * 1024

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


@contextmanager
def little_memory() -> Iterator[None]:
    """Let this process map 64 MiB more than now, and no further, where the system can do that."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    pages = int(statm.read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 64 * MEGABYTE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def refusal(data: bytes, code: ItemErrorCode, *, max_pixels: int = 100_000_000) -> str:
    """Tell the message with which a file is refused, at opening or at decoding."""
    with pytest.raises(ItemError) as caught:
        _ = Image.open(data, max_pixels=max_pixels).pixels
    assert caught.value.code is code, caught.value
    assert not caught.value.transient
    return caught.value.message


def test_an_empty_file_is_called_empty() -> None:
    message = refusal(b"", ItemErrorCode.UNSUPPORTED_FORMAT)
    assert "empty" in message
    assert "accepted are JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PSD" in message


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"not a picture, whatever its name says\n", "text"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", "SVG"),
        (b"<!DOCTYPE html><title>Log in</title>", "HTML"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"P6 4 4 255\n" + bytes(48), "PNM"),
        (bytes(64), "no image format"),
    ],
)
def test_other_content_is_named_and_the_remedy_with_it(data: bytes, what: str) -> None:
    message = refusal(data, ItemErrorCode.UNSUPPORTED_FORMAT)
    assert f"looks like {what}" in message or what in message
    assert "accepted are JPEG" in message


def test_formats_of_other_plugins_are_not_reached() -> None:
    # Pillow would open each of these; ICO and ICNS hold further files of sizes that their own headers don't tell.
    for image_format in ("ico", "icns", "tga", "pcx", "ppm", "im", "dds"):
        refusal(encoded(photo(64, 64), image_format), ItemErrorCode.UNSUPPORTED_FORMAT)


GIANTS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: jpeg_resized(encoded(photo(), "jpeg"), 65_000, 65_000),
    "progressive JPEG": lambda: jpeg_resized(encoded(photo(), "jpeg", progressive=True), 65_000, 65_000),
    "PNG": lambda: png(2**31 - 1, 2**31 - 1),
    "PNG, all zeros": lambda: png(50_000, 50_000, rows=bytes(50_000_000)),
    "GIF": lambda: gif(65_535, 65_535, gif_frame(0, 0, 1, 1)),
    "GIF, first frame beyond its screen": lambda: gif(1, 1, gif_frame(60_000, 60_000, 5_000, 5_000)),
    "WebP, canvas": lambda: riff(webp_canvas(2**24, 2**24)),
    "WebP, animated canvas": lambda: riff(webp_canvas(16_383, 16_383, animated=True), (b"ANIM", bytes(6))),
    "BMP": lambda: b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 100_000, -100_000, 1, 24, 0) + bytes(20),
    "TIFF": lambda: tiff([(256, 4, 1, 100_000), (257, 4, 1, 100_000)]),
    "TIFF, one tile": lambda: tiled_tiff(100_000),
    "AVIF": lambda: resized_avif(60_000),
}


def tiled_tiff(side: int) -> bytes:
    data = zlib.compress(b"x")
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    tiles = [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, len(data))]
    return tiff(tags + tiles, pixels=data)


def resized_avif(side: int) -> bytes:
    data = encoded(photo(), "avif")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", side, side) + data[at + 8 :]


@pytest.mark.parametrize("name", GIANTS)
def test_giant_sizes_are_refused_from_the_header(name: str) -> None:
    data = GIANTS[name]()
    with little_memory():
        message = refusal(data, ItemErrorCode.TOO_LARGE)
    assert "above the limit of 100,000,000" in message


@pytest.mark.parametrize("image_format", ["jpeg", "png", "gif", "webp", "bmp", "tiff", "avif"])
def test_our_limit_decides_and_not_pillows(image_format: str) -> None:
    data = encoded(photo(), image_format)
    assert Image.open(data, max_pixels=96 * 64).pixels.size == (96, 64)
    refusal(data, ItemErrorCode.TOO_LARGE, max_pixels=96 * 64 - 1)


def test_pillows_own_limit_does_not_matter() -> None:
    # Pillow's default would refuse these 200 million pixels.
    assert Image.open(encoded(PIL.Image.new("1", (20_000, 10_000)), "png"), max_pixels=200_000_000).width == 20_000


@pytest.mark.parametrize(
    "data",
    [
        png(0, 64),
        png(64, 0),
        jpeg_resized(encoded(photo(), "jpeg"), 0, 64),
        jpeg_resized(encoded(photo(), "jpeg"), 64, 0),
        gif(0, 0, gif_frame(0, 0, 0, 0)),
        tiff([(256, 4, 1, 0), (257, 4, 1, 8)]),
        b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 0, 9, 1, 24, 0) + bytes(20),
    ],
    ids=["PNG width", "PNG height", "JPEG width", "JPEG height", "GIF", "TIFF", "BMP"],
)
def test_a_size_of_zero_is_refused(data: bytes) -> None:
    assert "0" in refusal(data, ItemErrorCode.DECODE_FAILED)


INFLATING: dict[str, bytes] = {
    "colour profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(300 * MEGABYTE), 9)),
    "text": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(300 * MEGABYTE), 9)),
    "international text": chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(300 * MEGABYTE), 9)),
}


@pytest.mark.parametrize("name", INFLATING)
def test_what_inflates_beside_the_picture_is_left_there(name: str) -> None:
    data = png(1, 1, INFLATING[name], rows=bytes(4))
    assert len(data) < MEGABYTE
    with little_memory():
        assert Image.open(data).pixels.getpixel((0, 0)) == (0, 0, 0)


def test_many_small_texts_do_not_add_up() -> None:
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(MEGABYTE), 9))
    with little_memory():
        assert Image.open(png(1, 1, *[text] * 200, rows=bytes(4))).pixels.size == (1, 1)


def test_pixels_that_inflate_beyond_their_size_are_not_kept() -> None:
    data = png(1, 1, rows=bytes(300 * MEGABYTE))
    with little_memory():
        assert Image.open(data).pixels.size == (1, 1)


def test_exif_whose_values_overlap_does_not_multiply() -> None:
    # 5,000 tags that each claim the same 32 KiB: 160 MiB, if each were given its own copy.
    entries = b"".join(struct.pack(">HHII", 0x9000 + number, 7, 32_768, 8) for number in range(2_500))
    block = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2_500) + entries + bytes(33_000)
    data = jpeg_with(encoded(photo(), "jpeg"), 0xE1, block[:65_000])
    for part in range(20):
        data = jpeg_with(data, 0xE1, b"Exif\0\0" + bytes([part]) * 65_000)
    with little_memory():
        assert Image.open(data).pixels.size == (96, 64)


def test_tiff_whose_tags_overlap_does_not_multiply() -> None:
    pixels = bytes(MEGABYTE)
    tags = [(tag, 7, MEGABYTE, 8) for tag in range(40_000, 42_000)]
    size = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 8), (279, 4, 1, 64)]
    with little_memory():
        assert Image.open(tiff(size + tags, pixels=pixels)).pixels.size == (8, 8)


def test_a_thousand_scans_are_refused() -> None:
    data = encoded(photo(), "jpeg", progressive=True)
    start = data.rindex(b"\xff\xda")
    scan = data[start : data.rindex(b"\xff\xd9")]
    assert "scans" in refusal(data[:start] + scan * 1000 + b"\xff\xd9", ItemErrorCode.TOO_LARGE)


def gif_with_a_later_giant() -> bytes:
    return encoded(photo(8, 8), "gif")[:-1] + gif_frame(0, 0, 65_535, 65_535) + b";"


def tiff_with_a_later_giant() -> bytes:
    first = grey_tiff(8, 8, 8, bytes(64))
    second = tiff([(256, 4, 1, 10**6), (257, 4, 1, 10**6)])[8:]
    return first[:-4] + struct.pack("<I", len(first)) + second


def apng_with_a_later_giant() -> bytes:
    def control(number: int, side: int) -> bytes:
        return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, side, side, 0, 0, 1, 10, 0, 0))

    animation = chunk(b"acTL", struct.pack(">II", 2, 0))
    first = png(8, 8, animation, control(0, 8), rows=(b"\0" + bytes(24)) * 8)
    end = chunk(b"IEND", b"")
    return first.removesuffix(end) + control(1, 2**30) + chunk(b"fdAT", struct.pack(">I", 2)) + end


LATER_GIANTS = {"GIF": gif_with_a_later_giant, "TIFF": tiff_with_a_later_giant, "APNG": apng_with_a_later_giant}


@pytest.mark.parametrize("name", LATER_GIANTS)
def test_a_bomb_on_a_later_frame_is_never_lit(name: str) -> None:
    data = LATER_GIANTS[name]()
    with little_memory():
        image = Image.open(data)
        assert image.frame_count == (1 if name == "APNG" else 2)  # which shows no animation with such a frame
        assert image.pixels.size == image.reduced(8).size == (8, 8)


def test_a_webp_frame_beyond_its_canvas_is_refused() -> None:
    frame = bytes(6) + (16_000).to_bytes(3, "little") * 2 + bytes(4)
    lossy = encoded(photo(), "webp")[12:]
    data = riff(webp_canvas(8, 8, animated=True), (b"ANIM", bytes(6)), (b"ANMF", frame + lossy))
    refusal(data, ItemErrorCode.DECODE_FAILED)


def test_memory_that_runs_out_is_the_items_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.open(encoded(photo(), "png"))

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("imagebatch_server.images.decode.to_rgb_or_rgba", exhausted)
    with pytest.raises(ItemError, match="memory") as caught:
        _ = image.pixels
    assert caught.value.code is ItemErrorCode.TOO_LARGE
