"""That pixels look as their file means them, in every mode, held against a reference conversion: within 3 of 255.

The values called a browser's were read from a canvas of Chromium 156 that showed the same file.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import PIL.Image
import pytest
from PIL import ImageChops, ImageCms
from tests.unit.images.crafted import bmp, chunk, encoded, gif, gif_frame, grey_tiff, photo, png, psd, small_tiff

from imagebatch_server.images.decode import Image

LEVELS = (5, 10, 25, 50, 100, 150, 200, 250)


def ramp(*chunks: bytes) -> bytes:
    """Make a PNG of one row of greys."""
    row = b"\0" + bytes(value for level in LEVELS for value in (level, level, level))
    return png(len(LEVELS), 1, *chunks, rows=row)


def greys(data: bytes) -> list[int]:
    shown = Image.open(data).pixels
    row = [shown.getpixel((x, 0)) for x in range(shown.width)]
    assert all(isinstance(it, tuple) and max(it) - min(it) <= 1 for it in row), row
    return [it[0] for it in row if isinstance(it, tuple)]


def gama(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chrm(*values: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def cicp(primaries: int, transfer: int) -> bytes:
    return chunk(b"cICP", bytes([primaries, transfer, 0, 1]))


SRGB = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
ADOBE = (31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)

OF_A_BROWSER: dict[str, tuple[Sequence[bytes], Sequence[int]]] = {
    "nothing said": ((), LEVELS),
    "gAMA of 1": ((gama(100_000),), (38, 56, 88, 122, 168, 202, 229, 253)),
    "gAMA of sRGB": ((gama(45_455),), LEVELS),
    "gAMA close to sRGB's": ((gama(47_000),), LEVELS),
    "gAMA of sRGB with its cHRM": ((gama(45_455), chrm(*SRGB)), (1, 3, 18, 46, 100, 151, 201, 250)),
    "sRGB goes before them": ((gama(100_000), chrm(*ADOBE), chunk(b"sRGB", b"\0")), LEVELS),
    "cHRM alone": ((chrm(*ADOBE),), LEVELS),
    "cICP linear": ((cicp(1, 8),), (38, 56, 88, 122, 168, 202, 229, 253)),
    "cICP of 2.2": ((cicp(1, 4),), (1, 3, 18, 46, 100, 151, 201, 250)),
    "cICP PQ": ((cicp(9, 16),), (0, 0, 2, 17, 76, 193, 255, 255)),
    "cICP HLG": ((cicp(9, 18),), (0, 1, 8, 30, 75, 122, 202, 251)),
    "cICP goes before gAMA": ((cicp(1, 13), gama(100_000)), LEVELS),
}


@pytest.mark.parametrize("name", OF_A_BROWSER)
def test_a_pngs_chunks_mean_what_they_mean_in_a_browser(name: str) -> None:
    chunks, expected = OF_A_BROWSER[name]
    assert greys(ramp(*chunks)) == pytest.approx(expected, abs=3)


def square(*chunks: bytes) -> bytes:
    rows = b"".join(
        b"\0" + bytes(value for x in range(16) for value in (y * 17, x * 17, x * y % 256)) for y in range(16)
    )
    return png(16, 16, *chunks, rows=rows)


OF_COLOURS = {
    "Adobe's primaries": ((gama(45_455), chrm(*ADOBE)), [(9, 9, 0), (0, 137, 0), (113, 66, 11), (225, 137, 94)]),
    "P3": ((cicp(12, 13),), [(17, 17, 0), (0, 138, 0), (108, 66, 9), (216, 132, 88)]),
    "PQ": ((cicp(9, 16),), [(1, 1, 0), (0, 161, 0), (98, 22, 0), (255, 0, 0)]),
    "HLG": ((cicp(9, 18),), [(3, 3, 0), (0, 109, 0), (85, 44, 0), (237, 92, 70)]),
}


@pytest.mark.parametrize("name", OF_COLOURS)
def test_primaries_and_high_range_are_shown_as_in_a_browser(name: str) -> None:
    chunks, expected = OF_COLOURS[name]
    shown = Image.open(square(*chunks)).pixels
    for at, colour in zip((17, 40, 100, 200), expected, strict=True):
        assert shown.getpixel((at % 16, at // 16)) == pytest.approx(colour, abs=3)


def avif(primaries: int, transfer: int) -> bytes:
    """Make a row of greys whose numbers say how they are meant."""
    picture = PIL.Image.new("RGB", (len(LEVELS) * 8, 8))
    for number, level in enumerate(LEVELS):
        picture.paste((level, level, level), (number * 8, 0, number * 8 + 8, 8))
    data = encoded(picture, "avif", quality=100, subsampling="4:4:4")
    at = data.index(b"nclx") + 4
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 13), LEVELS),
        ((1, 1), LEVELS),
        ((9, 14), LEVELS),
        ((1, 2), LEVELS),
        ((1, 8), (38, 56, 88, 122, 168, 202, 229, 253)),
        ((1, 4), (1, 3, 18, 46, 100, 151, 201, 250)),
        ((1, 5), (0, 0, 5, 26, 76, 131, 189, 249)),
        ((9, 16), (0, 0, 2, 17, 76, 193, 255, 255)),
        ((9, 18), (0, 1, 8, 30, 75, 122, 202, 251)),
    ],
)
def test_an_avifs_numbers_mean_what_they_mean_in_a_browser(numbers: tuple[int, int], expected: Sequence[int]) -> None:
    shown = Image.open(avif(*numbers)).pixels
    found = [shown.getpixel((number * 8 + 4, 4)) for number in range(len(LEVELS))]
    assert [it[0] for it in found if isinstance(it, tuple)] == pytest.approx(expected, abs=3)


def grey_profile(gamma: float) -> bytes:
    """Make an ICC profile of greys."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63_190, 65_536, 54_061)
    tags = [(b"wtpt", white), (b"kTRC", curve)]
    at = 128 + 4 + 24
    table = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", at, 20) + b"kTRC" + struct.pack(">II", at + 20, 16)
    head = struct.pack(">I4xI", at + 36, 0x02400000) + b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    head = (head + struct.pack(">3i", 63_190, 65_536, 54_061)).ljust(128, b"\0")
    return head + table + b"".join(body for _, body in tags)


@pytest.mark.parametrize("mode", ["L", "LA"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.6])
def test_a_grey_profile_is_applied(mode: str, gamma: float) -> None:
    picture = PIL.Image.new("L", (len(LEVELS), 1))
    picture.putdata(LEVELS)
    profile = grey_profile(gamma)
    reference = ImageCms.profileToProfile(
        picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert reference is not None
    expected = [it[0] for x in range(len(LEVELS)) if isinstance(it := reference.getpixel((x, 0)), tuple)]
    assert expected != list(LEVELS)
    assert greys(encoded(picture.convert(mode), "png", icc_profile=profile)) == pytest.approx(expected, abs=3)
    if mode == "L":
        assert greys(encoded(picture, "tiff", icc_profile=profile)) == pytest.approx(expected, abs=3)


def test_a_profile_for_other_colours_is_passed_over() -> None:
    data = encoded(photo(), "png", icc_profile=grey_profile(1.0))
    assert ImageChops.difference(Image.open(data).pixels, photo()).getbbox() is None


def test_unsigned_values_of_32_bits_do_not_wrap() -> None:
    values = struct.pack("<5I", 0, 2**30, 2**31, 3 * 2**30, 2**32 - 1)
    assert greys(grey_tiff(5, 1, 32, values)) == pytest.approx([0, 64, 128, 191, 255], abs=1)


@pytest.mark.parametrize(("depth", "key", "row"), [(4, 5, b"\x05\x50"), (2, 1, b"\x10\x40"), (1, 0, b"\xf0\x00")])
def test_a_grey_that_stands_for_transparency_is_clear_at_every_depth(depth: int, key: int, row: bytes) -> None:
    data = png(16 // depth, 1, chunk(b"tRNS", struct.pack(">H", key)), rows=b"\0" + row, depth=depth, colour=0)
    kept = Image.open(data).resized((16 // depth, 1), keep_alpha=True)
    values = [int.from_bytes(row, "big") >> (16 - depth * (x + 1)) & ((1 << depth) - 1) for x in range(16 // depth)]
    alpha = [kept.getchannel("A").getpixel((x, 0)) for x in range(16 // depth)]
    assert alpha == [0 if value == key else 255 for value in values]


def test_a_grey_of_16_bits_that_stands_for_transparency_is_clear_and_its_neighbour_is_not() -> None:
    rows = b"\0" + struct.pack(">4H", 0x1234, 0x1235, 0, 0xFFFF)
    data = png(4, 1, chunk(b"tRNS", b"\x12\x34"), rows=rows, depth=16, colour=0)
    alpha = Image.open(data).resized((4, 1), keep_alpha=True).getchannel("A")
    assert [alpha.getpixel((x, 0)) for x in range(4)] == [0, 255, 255, 255]
    assert Image.open(data).pixels.getpixel((0, 0)) == (255, 255, 255)


def test_a_colour_of_16_bits_that_stands_for_transparency_is_clear() -> None:
    rows = b"\0" + struct.pack(">6H", 0x1234, 0x5678, 0x9ABC, 0, 0, 0)
    data = png(2, 1, chunk(b"tRNS", struct.pack(">3H", 0x1234, 0x5678, 0x9ABC)), rows=rows, depth=16, colour=2)
    alpha = Image.open(data).resized((2, 1), keep_alpha=True).getchannel("A")
    assert [alpha.getpixel((x, 0)) for x in range(2)] == [0, 255]


def test_what_a_gifs_first_frame_leaves_out_is_clear() -> None:
    data = gif(8, 8, gif_frame(2, 2, 1, 1))
    kept = Image.open(data).resized((8, 8), keep_alpha=True)
    assert kept.mode == "RGBA"
    clear = [(x, y) for x in range(8) for y in range(8) if kept.getchannel("A").getpixel((x, y)) == 0]
    assert len(clear) == 63
    assert (2, 2) not in clear
    assert Image.open(data).pixels.getpixel((0, 0)) == (255, 255, 255)
    assert Image.open(gif(1, 1, gif_frame(0, 0, 1, 1))).resized((1, 1), keep_alpha=True).mode == "RGB"


def test_the_bits_of_a_photoshop_bitmap_are_ink() -> None:
    shown = Image.open(psd([b"\xf0" * 8], 8, 8, bits=1, mode=0)).pixels
    assert [shown.getpixel((x, 0)) for x in (0, 7)] == [(0, 0, 0), (255, 255, 255)]


def test_alpha_that_nobody_wrote_hides_nothing() -> None:
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = bmp(32, 3, bytes([0, 0, 255, 0]) * 64, header_bytes=124)
    written = head[:54] + masks + head[70:]
    assert Image.open(written).pixels.getpixel((3, 3)) == (255, 0, 0)
    half = head[:54] + masks + head[70 : 14 + 124] + bytes([0, 0, 255, 128]) * 64
    assert Image.open(half).pixels.getpixel((3, 3)) == pytest.approx((255, 127, 127), abs=1)


def test_a_white_logo_on_nothing_is_seen() -> None:
    logo = PIL.Image.new("RGBA", (32, 32), (255, 255, 255, 0))
    logo.paste((255, 255, 255, 255), (8, 8, 24, 24))
    for image_format in ("png", "webp", "avif"):
        shown = Image.open(encoded(logo, image_format)).pixels
        assert shown.getpixel((16, 16)) == pytest.approx((255, 255, 255), abs=3)
        assert shown.getpixel((1, 1)) == pytest.approx((0, 0, 0), abs=3)
    black = PIL.Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    black.paste((0, 0, 0, 255), (8, 8, 24, 24))
    assert Image.open(encoded(black, "png")).pixels.getpixel((1, 1)) == (255, 255, 255)


def test_premultiplied_grey_keeps_its_alpha() -> None:
    data = small_tiff(8, 2, bytes([100, 100, 50, 50]) * 32, 1, (338, 3, 1, 1))
    kept = Image.open(data).resized((8, 8), keep_alpha=True)
    assert kept.getpixel((0, 0)) == pytest.approx((255, 255, 255, 100), abs=3)


def test_the_page_is_read_that_is_asked_for() -> None:
    pages = [PIL.Image.new("RGB", size, colour) for size, colour in (((30, 20), "red"), ((10, 40), "blue"))]
    image = Image.open(encoded(pages[0], "tiff", save_all=True, append_images=pages[1:]))
    second = image.at(1)
    assert (second.upright_size, second.pixels.getpixel((3, 3))) == ((10, 40), (0, 0, 255))
    assert image.at(7).upright_size == (10, 40)
    assert image.at(0) is image
    assert Image.open(encoded(photo(), "png")).at(3).pixels.size == (96, 64)
