"""Files that end early: what there is is used and said to be a part, or refused where that is asked for."""

from __future__ import annotations

import struct
from collections.abc import Callable

import PIL.Image
import pytest
from PIL import ImageChops, ImageStat
from tests.unit.images.crafted import chunk, encoded, photo

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image

READ_IN_PART = ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif")


def of_top(picture: PIL.Image.Image, other: PIL.Image.Image) -> float:
    """Measure the mean difference of the upper sixths."""
    box = (0, 0, picture.width, picture.height // 6)
    return max(ImageStat.Stat(ImageChops.difference(picture.crop(box), other.crop(box))).mean)


@pytest.mark.parametrize("image_format", [it for it in READ_IN_PART if it != "avif"])  # as its decoder is minded
def test_a_file_that_lacks_its_last_bytes_shows_nearly_all(image_format: str) -> None:
    whole = encoded(photo(200, 150), image_format)
    expected = Image.open(whole).pixels
    for missing in (1, 2):
        image = Image.open(whole[:-missing])
        assert image.pixels.size == (200, 150)
        shown = ImageChops.difference(image.pixels, expected).crop((0, 16, 200, 134))
        assert max(ImageStat.Stat(shown).mean) < 1, missing
        assert image.is_truncated


def test_a_png_that_ends_between_two_chunks_is_truncated() -> None:
    whole = encoded(photo(200, 150), "png")
    image = Image.open(whole[:-12])
    assert image.is_truncated
    assert image.pixels.tobytes() == Image.open(whole).pixels.tobytes()


@pytest.mark.parametrize("image_format", ["jpeg", "png", "gif", "webp", "tiff"])  # BMP's rows begin at the bottom
def test_of_half_a_file_the_upper_part_is_used(image_format: str) -> None:
    whole = encoded(photo(200, 150), image_format)
    image = Image.open(whole[: len(whole) * 8 // 10])
    assert of_top(image.pixels, Image.open(whole).pixels) < 3
    assert image.is_truncated
    assert image.reduced(50).size == (50, 38)


def test_of_half_a_progressive_jpeg_all_is_shown_with_less_detail() -> None:
    whole = encoded(photo(400, 300), "jpeg", progressive=True)
    image = Image.open(whole[: len(whole) // 2])
    assert max(ImageStat.Stat(ImageChops.difference(image.pixels, photo(400, 300))).mean) < 40
    assert image.is_truncated


@pytest.mark.parametrize("image_format", READ_IN_PART)
def test_a_truncated_file_is_refused_where_that_is_asked_for(image_format: str) -> None:
    whole = encoded(photo(200, 150), image_format)
    assert Image.open(whole, strict=True).pixels.size == (200, 150)
    ways: list[Callable[[Image], object]] = [lambda it: it.pixels, lambda it: it.reduced(20)]
    for look in ways:
        with pytest.raises(ItemError, match=f"the {image_format.upper()} is truncated") as caught:
            look(Image.open(whole[:-2], strict=True))
        assert caught.value.code is ItemErrorCode.DECODE_FAILED


@pytest.mark.parametrize("image_format", READ_IN_PART)
def test_a_header_alone_is_refused(image_format: str) -> None:
    whole = encoded(photo(200, 150), image_format)
    ends = {"jpeg": 610, "png": 40, "gif": 20, "webp": 30, "bmp": 30, "tiff": 60, "avif": 60}
    with pytest.raises(ItemError) as caught:
        _ = Image.open(whole[: ends[image_format]]).pixels
    assert caught.value.code is ItemErrorCode.DECODE_FAILED


def test_pixels_that_end_early_in_a_whole_file_are_a_part_too() -> None:
    whole = encoded(photo(200, 150), "png")
    at = whole.index(b"IDAT")
    (size,) = struct.unpack_from(">I", whole, at - 4)
    part = whole[: at - 4] + chunk(b"IDAT", whole[at + 4 : at + 4 + size // 2]) + chunk(b"IEND", b"")
    assert not Image.open(part).is_truncated, "nothing but decoding shows it"
    image = Image.open(part)
    assert of_top(image.pixels, photo(200, 150)) == 0
    assert image.is_truncated
    with pytest.raises(ItemError, match="truncated"):
        _ = Image.open(part, strict=True).pixels


def test_one_files_end_is_not_anothers() -> None:
    whole, part = encoded(photo(), "png"), encoded(photo(), "png")[:-30]
    assert Image.open(part).pixels.size == (96, 64)
    broken = bytearray(whole)
    broken[whole.index(b"IDAT") + 300] ^= 0xFF
    with pytest.raises(ItemError) as caught:
        _ = Image.open(bytes(broken)).pixels
    assert caught.value.code is ItemErrorCode.DECODE_FAILED
