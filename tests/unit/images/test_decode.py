"""What an opened image says of itself, and that its pixels look as the picture is meant to look."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from datetime import datetime

import PIL.Image
import pytest
from PIL import ImageChops, ImageCms, ImageStat
from tests.unit.images.crafted import chunk, encoded, gif, gif_frame, grey_tiff, jpeg_with, photo, png

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image

FORMATS = ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif")


def difference(one: PIL.Image.Image, other: PIL.Image.Image) -> float:
    """Measure the mean difference of two RGB images, 0 to 255."""
    assert one.mode == other.mode == "RGB"
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one, other)).mean)


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_accepted_format_opens(image_format: str) -> None:
    data = encoded(photo(), image_format)
    image = Image.open(data)
    assert (image.format, image.width, image.height) == (image_format, 96, 64)
    assert (image.frame_count, image.is_animated, image.orientation, image.captured_at) == (1, False, 1, None)
    assert (image.size_bytes, image.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert difference(image.pixels, photo()) < 6


def test_pixels_are_decoded_once() -> None:
    image = Image.open(encoded(photo(), "png"))
    assert image.pixels is image.pixels


def exif(orientation: int, captured_at: str | None = None) -> PIL.Image.Exif:
    block = PIL.Image.Exif()
    block[0x0112] = orientation
    if captured_at is not None:
        block.get_ifd(0x8769)[0x9003] = captured_at
    return block


# What a viewer does to the stored picture, for each orientation.
TURNS: dict[int, Callable[[PIL.Image.Image], PIL.Image.Image]] = {
    1: lambda stored: stored,
    2: lambda stored: stored.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda stored: stored.rotate(180),
    4: lambda stored: stored.transpose(PIL.Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda stored: stored.rotate(-90, expand=True).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT),
    6: lambda stored: stored.rotate(-90, expand=True),
    7: lambda stored: stored.rotate(90, expand=True).transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT),
    8: lambda stored: stored.rotate(90, expand=True),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp", "tiff", "avif"])
def test_pixels_are_turned_as_exif_says(image_format: str, orientation: int) -> None:
    options = {"quality": 95} if image_format == "jpeg" else {}
    image = Image.open(encoded(photo(), image_format, exif=exif(orientation), **options))
    assert (image.width, image.height, image.orientation) == (96, 64, orientation)
    expected = TURNS[orientation](photo())
    assert difference(image.pixels, expected) < 6
    assert image.reduced(48).size == ((48, 32) if orientation < 5 else (32, 48))
    assert difference(image.reduced(48), expected.resize(image.reduced(48).size)) < 6


def test_exif_behind_a_pngs_pixels_counts_too() -> None:
    data = encoded(photo(), "png", exif=exif(6, "2024:02:29 13:14:15"))
    block = data[data.index(b"eXIf") - 4 : data.index(b"IDAT") - 4]
    end = data.index(b"IEND") - 4
    late = data.replace(block, b"")[: end - len(block)] + block + data[end:]
    image = Image.open(late)
    assert (image.orientation, image.captured_at) == (6, datetime.fromisoformat("2024-02-29T13:14:15"))
    assert difference(image.pixels, TURNS[6](photo())) == 0
    assert Image.open(late.replace(block, block[:-1] + b"?")).orientation == 1


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("image_format", FORMATS)
def test_the_upright_size_is_that_of_the_pixels(image_format: str, orientation: int) -> None:
    image = Image.open(encoded(photo(), image_format, exif=exif(orientation)))
    assert image.upright_size == image.pixels.size


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_is_upright(orientation: int) -> None:
    image = Image.open(encoded(photo(), "jpeg", exif=exif(orientation)))
    assert (image.orientation, image.pixels.size) == (1, (96, 64))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024:02:29 13:14:15", datetime.fromisoformat("2024-02-29T13:14:15")),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2023:02:29 13:14:15", None),
        ("2024-02-29T13:14:15", None),
        ("", None),
    ],
)
def test_the_capture_time_is_exifs_or_none(text: str, expected: datetime | None) -> None:
    assert Image.open(encoded(photo(), "jpeg", exif=exif(1, text))).captured_at == expected


def test_damaged_exif_is_no_reason_to_refuse_a_picture() -> None:
    data = jpeg_with(encoded(photo(), "jpeg"), 0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\x07" * 50)
    image = Image.open(data)
    assert (image.orientation, image.captured_at, image.pixels.size) == (1, None, (96, 64))


@pytest.mark.parametrize("image_format", ["png", "webp", "avif"])
def test_alpha_is_on_white(image_format: str) -> None:
    half = photo()
    half.putalpha(PIL.Image.new("L", half.size, 128))
    expected = PIL.Image.blend(photo(), PIL.Image.new("RGB", half.size, "white"), 0.5)
    assert difference(Image.open(encoded(half, image_format)).pixels, expected) < 3


def test_every_kind_of_transparency_shows_white() -> None:
    clear_grey = PIL.Image.merge("LA", (PIL.Image.new("L", (8, 8)), PIL.Image.new("L", (8, 8))))
    clear_palette = PIL.Image.new("RGB", (8, 8), "red").quantize(2)
    rgb_key = chunk(b"tRNS", struct.pack(">HHH", 0, 0, 0))
    files = {
        "grey with alpha": encoded(clear_grey, "png"),
        "palette": encoded(clear_palette, "png", transparency=clear_palette.getpixel((0, 0))),
        "palette of a GIF": encoded(clear_palette, "gif", transparency=clear_palette.getpixel((0, 0))),
        "one colour of RGB": png(8, 8, rgb_key, rows=(b"\0" + bytes(24)) * 8),
        "one grey": png(8, 8, chunk(b"tRNS", b"\0\0"), rows=(b"\0" + bytes(8)) * 8, colour=0),
        "16-bit grey with alpha": png(8, 8, rows=(b"\0" + bytes(32)) * 8, depth=16, colour=4),
        "16-bit RGB with alpha": png(8, 8, rows=(b"\0" + bytes(64)) * 8, depth=16, colour=6),
    }
    white = PIL.Image.new("RGB", (8, 8), "white")
    assert {name: difference(Image.open(data).pixels, white) for name, data in files.items()} == dict.fromkeys(files, 0)


def test_transparency_of_a_tall_picture_is_composed_to_its_last_row() -> None:
    tall = PIL.Image.new("RGBA", (3, 1300), (10, 20, 30, 255))
    tall.putpixel((1, 1299), (0, 0, 0, 0))
    pixels = Image.open(encoded(tall, "png")).pixels
    assert [pixels.getpixel((1, row)) for row in (511, 512, 1298, 1299)] == [(10, 20, 30)] * 3 + [(255, 255, 255)]


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    values = [0, 0x1234, 0x8000, 0xFFFF]
    little, big = struct.pack("<4H", *values), struct.pack(">4H", *values)
    files = {
        "PNG": png(4, 1, rows=b"\0" + big, depth=16, colour=0),
        "TIFF, little": grey_tiff(4, 1, 16, little),
        "TIFF, big": grey_tiff(4, 1, 16, big, order=">"),
    }
    for name, data in files.items():
        pixels = Image.open(data).pixels
        assert [pixels.getpixel((x, 0)) for x in range(4)] == [(v, v, v) for v in (0, 0x12, 0x7F, 0xFF)], name


def test_the_least_value_may_be_white() -> None:
    data = grey_tiff(2, 1, 16, struct.pack("<2H", 0, 65535), photometric=0)
    pixels = Image.open(data).pixels
    assert (pixels.getpixel((0, 0)), pixels.getpixel((1, 0))) == ((255, 255, 255), (0, 0, 0))


def test_floating_point_is_shown_from_least_to_most() -> None:
    def greys(*values: float) -> list[int]:
        row = PIL.Image.new("F", (len(values), 1))
        row.putdata(values)
        return list(Image.open(encoded(row, "tiff")).pixels.getchannel("R").tobytes())

    assert greys(0.0, 0.5, 1.0) == [0, 127, 255]
    assert greys(0.0, 100.0, 200.0) == [0, 100, 200]
    assert greys(-1000.0, 0.0, 1000.0) == [0, 127, 255]
    with pytest.raises(ItemError, match="finite") as caught:
        greys(0.0, float("inf"))
    assert caught.value.code is ItemErrorCode.DECODE_FAILED


def test_cmyk_is_shown_in_its_colours() -> None:
    red = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    adobe = encoded(red, "jpeg", quality=95)
    assert b"Adobe" in adobe
    at = adobe.index(b"\xff\xee")
    plain = adobe[:at] + adobe[at + 2 + struct.unpack(">H", adobe[at + 2 : at + 4])[0] :]
    for name, data, expected in (
        ("Adobe's, stored inverted", adobe, (255, 0, 0)),
        ("plain, the same bytes mean the opposite ink", plain, (0, 0, 0)),
        ("TIFF", encoded(red, "tiff"), (255, 0, 0)),
    ):
        assert difference(Image.open(data).pixels, PIL.Image.new("RGB", (16, 16), expected)) < 3, name


@pytest.mark.parametrize("mode", ["1", "L", "P", "LAB", "YCbCr"])
def test_other_modes_become_rgb(mode: str) -> None:
    image_format = "tiff" if mode in ("LAB", "YCbCr") else "png"
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        converted = ImageCms.applyTransform(photo(), to_lab)
        assert converted is not None
    else:
        converted = photo().convert(mode)
    expected = photo() if mode in ("LAB", "YCbCr") else converted.convert("RGB")
    assert difference(Image.open(encoded(converted, image_format)).pixels, expected) < 3


def test_a_colour_profile_is_applied_and_a_damaged_one_is_not() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # It still calls itself sRGB, but has red and green under each other's names.
    swapped = srgb.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)
    red, green = PIL.Image.new("RGB", (8, 8), (255, 0, 0)), PIL.Image.new("RGB", (8, 8), (0, 255, 0))
    assert difference(Image.open(encoded(red, "png", icc_profile=swapped)).pixels, green) < 3
    assert difference(Image.open(encoded(red.quantize(2), "png", icc_profile=swapped)).pixels, green) < 3
    half = red.copy()
    half.putalpha(128)
    kept = Image.open(encoded(half, "png", icc_profile=swapped)).resized((8, 8), keep_alpha=True)
    assert kept.getpixel((3, 3)) == pytest.approx((0, 255, 0, 128), abs=3)
    assert difference(Image.open(encoded(red, "png", icc_profile=srgb)).pixels, red) == 0
    assert difference(Image.open(encoded(red, "png", icc_profile=swapped[:200])).pixels, red) == 0
    assert difference(Image.open(encoded(red, "png", icc_profile=b"no profile")).pixels, red) == 0


def test_reduced_has_the_side_that_was_asked_for() -> None:
    for image_format in ("jpeg", "png"):
        image = Image.open(encoded(photo(3001, 1999), image_format))
        for side in (3000, 1501, 1500, 749, 100, 1):
            reduced = image.reduced(side)
            assert (reduced.mode, max(reduced.size)) == ("RGB", side), (image_format, side)
            assert abs(reduced.height - side * 1999 / 3001) <= 1, (image_format, side)
        assert difference(image.reduced(300), photo(3001, 1999).resize(image.reduced(300).size)) < 3


def test_reduced_coarsely_it_shows_the_same() -> None:
    picture = photo(1200, 800)
    for image_format in ("jpeg", "png"):
        for side in (1199, 600, 599, 301, 300, 40):
            image = Image.open(encoded(picture, image_format))
            reduced = image.reduced(side, coarsely=True)
            assert max(reduced.size) == side
            assert difference(reduced, image.reduced(side)) < 2, (image_format, side)


def test_reduced_of_a_thin_picture_keeps_a_pixel() -> None:
    assert Image.open(encoded(PIL.Image.new("RGB", (2000, 3)), "jpeg")).reduced(100).size == (100, 1)


def test_reduced_never_enlarges() -> None:
    image = Image.open(encoded(photo(), "png"))
    assert image.reduced(96).size == image.reduced(10_000).size == (96, 64)


def test_reduced_after_pixels_does_not_decode_again() -> None:
    image = Image.open(encoded(photo(), "png"))
    image.pixels.paste("red", (0, 0, 96, 64))
    assert difference(image.reduced(48), PIL.Image.new("RGB", (48, 32), "red")) == 0


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_resized_gives_the_part_that_was_asked_for_as_it_is_shown(image_format: str, orientation: int) -> None:
    stored = photo(1600, 1200)
    image = Image.open(encoded(stored, image_format, exif=exif(orientation)))
    shown = TURNS[orientation](stored)
    box = (100, 50, 900, 1150)
    expected = shown.resize((80, 110), PIL.Image.Resampling.LANCZOS, box)
    assert difference(image.resized((80, 110), box=box), expected) < 3
    assert image.resized((31, 17)).size == (31, 17)


@pytest.mark.parametrize("image_format", ["png", "webp", "avif"])
def test_resized_keeps_alpha_when_asked(image_format: str) -> None:
    clear = photo()
    clear.putalpha(PIL.Image.linear_gradient("L").resize(clear.size))
    image = Image.open(encoded(clear, image_format))
    assert image.pixels.mode == "RGB"
    kept = image.resized((48, 32), keep_alpha=True)
    assert kept.mode == "RGBA"
    assert difference(kept.convert("RGB"), clear.resize((48, 32)).convert("RGB")) < 8
    assert image.resized((48, 32)).mode == "RGB"
    assert Image.open(encoded(photo(), image_format)).resized((48, 32), keep_alpha=True).mode == "RGB"


def test_what_is_decoded_carries_no_metadata() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for image_format in FORMATS:
        options = {} if image_format in ("gif", "bmp") else {"exif": exif(3, "2024:02:29 13:14:15")}
        image = Image.open(encoded(photo(), image_format, icc_profile=profile, **options))
        for picture in (image.pixels, image.reduced(20), image.resized((96, 64), keep_alpha=True)):
            assert picture.info == {}, image_format


@pytest.mark.parametrize("image_format", ["gif", "png", "webp", "avif"])
def test_of_an_animation_the_first_frame_counts(image_format: str) -> None:
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("red", "green", "blue")]
    image = Image.open(encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=100))
    assert (image.frame_count, image.is_animated) == (3, True)
    assert difference(image.pixels, frames[0]) < 6


def test_pages_are_no_animation() -> None:
    image = Image.open(encoded(photo(), "tiff", save_all=True, append_images=[photo(), photo()]))
    assert (image.frame_count, image.is_animated) == (3, False)
    assert difference(image.pixels, photo()) == 0


def test_the_second_picture_of_a_camera_is_no_frame() -> None:
    data = encoded(photo(), "mpo", save_all=True, append_images=[photo()])
    image = Image.open(data)
    assert (image.format, image.frame_count, image.is_animated) == ("jpeg", 1, False)
    assert difference(image.pixels, photo()) < 6


def test_counting_frames_ends() -> None:
    many = gif(1, 1, *[gif_frame(0, 0, 1, 1)] * 20_000)
    assert Image.open(many).frame_count == 10_000
    looped = grey_tiff(1, 1, 8, b"x")
    directory = struct.pack("<I", 9)
    assert looped[4:8] == directory
    assert Image.open(looped[:-4] + directory).frame_count == 1  # it names itself as the next
