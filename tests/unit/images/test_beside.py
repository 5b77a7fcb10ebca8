"""What stands beside a picture, whole or damaged, decides nothing about it."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from typing import Any

import PIL.Image
import pytest
from PIL import ImageChops, ImageCms
from tests.unit.images.crafted import chunk, encoded, gif_frame, jpeg_with, photo, riff, tiff
from tests.unit.images.test_formats import heic, jxl

from imagebatch_server.images.decode import Image

MEGABYTE = 1024 * 1024


def same(one: PIL.Image.Image, other: PIL.Image.Image) -> bool:
    return ImageChops.difference(one, other).getbbox() is None


def file_of(image_format: str, **options: Any) -> bytes:
    if image_format == "jxl":
        return in_boxes(jxl(photo()))
    return (heic if image_format == "heif" else partial(encoded, image_format=image_format))(photo(), **options)


def in_boxes(codestream: bytes, *more: bytes) -> bytes:
    head = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return b"".join([head, *more, box(b"jxlc", codestream)])


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize(
    "image_format", ["jpeg", "png", "gif", "webp", "bmp", "tiff", "avif", "heif", "jpeg2000", "jxl"]
)
def test_a_video_behind_the_picture_is_passed_over(image_format: str, is_cut: bool) -> None:
    alone = file_of(image_format)
    scans = b"\xff\xda\0\x08" * (MEGABYTE // 4)  # what 8 MB of video hold a thousand times by chance
    video = box(b"ftyp", b"mp42\0\0\0\0mp42") + box(b"mdat", scans)
    image = Image.open(alone + (video[: -MEGABYTE // 2] if is_cut else video))
    assert not image.is_truncated
    assert image.frame_count == 1
    assert same(image.pixels, Image.open(alone).pixels)


def test_exif_of_a_file_behind_the_picture_is_not_its_own() -> None:
    turned = PIL.Image.Exif()
    turned[0x0112] = 6
    for image_format in ("jpeg", "png", "webp"):
        behind = encoded(photo(8, 8), image_format, exif=turned)
        assert Image.open(encoded(photo(), image_format) + behind).orientation == 1


def with_chunk(*chunks: bytes) -> bytes:
    """Make a PNG with more chunks before its pixels."""
    data = encoded(photo(), "png")
    return data[:33] + b"".join(chunks) + data[33:]


def wrong(made: bytes) -> bytes:
    """Give the chunk a checksum that is not its own."""
    return made[:-4] + bytes(byte ^ 0xFF for byte in made[-4:])


def frame(number: int, left: int = 0) -> bytes:
    return chunk(b"fcTL", struct.pack(">5I2H2B", number, 96, 64, left, 0, 1, 10, 0, 0))


SWAPPED = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FAULTS = {
    "much text": chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(2 * MEGABYTE))),
    "much international text": chunk(b"iTXt", b"x\0\1\0\0\0" + zlib.compress(bytes(2 * MEGABYTE))),
    "much profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2 * MEGABYTE))),
    "checksum of iCCP": wrong(chunk(b"iCCP", b"x\0\0" + zlib.compress(SWAPPED))),
    "checksum of tEXt": wrong(chunk(b"tEXt", b"x\0y")),
    "checksum of gAMA": wrong(chunk(b"gAMA", struct.pack(">I", 100_000))),
    "checksum of eXIf": wrong(chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0")),
    "checksum of tIME": wrong(chunk(b"tIME", bytes(7))),
    "short cHRM": chunk(b"cHRM", bytes(5)),
    "short pHYs": chunk(b"pHYs", bytes(5)),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "short sRGB": chunk(b"sRGB", b""),
    "short iCCP": chunk(b"iCCP", b"x"),
    "method of iCCP": chunk(b"iCCP", b"x\0\7" + zlib.compress(SWAPPED)),
    "damaged iCCP": chunk(b"iCCP", b"x\0\0" + zlib.compress(SWAPPED)[:-9]),
    "method of zTXt": chunk(b"zTXt", b"x\0\7" + zlib.compress(b"y")),
    "short acTL": chunk(b"acTL", b"\0"),
    "short fcTL": chunk(b"acTL", struct.pack(">II", 1, 0)) + chunk(b"fcTL", b"\0"),
    "frames that are missing": chunk(b"acTL", struct.pack(">II", 2, 0)) + frame(0),
    "no frames": chunk(b"acTL", struct.pack(">II", 0, 0)) + frame(0),
    "a frame's number": chunk(b"acTL", struct.pack(">II", 1, 0)) + frame(5),
    "a frame beyond the picture": chunk(b"acTL", struct.pack(">II", 1, 0)) + frame(0, left=1),
    "a frame twice": chunk(b"acTL", struct.pack(">II", 1, 0)) + frame(0) + frame(1),
    "a frame before acTL": frame(0) + chunk(b"acTL", struct.pack(">II", 1, 0)),
    "short tRNS": chunk(b"tRNS", b"\0"),
    "unknown chunk": chunk(b"prVt", bytes(100)),
    "empty eXIf": chunk(b"eXIf", b""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_beside_a_pngs_pixels_loses_nothing(name: str) -> None:
    image = Image.open(with_chunk(FAULTS[name]))
    assert same(image.pixels, photo())
    assert image.frame_count == 1
    assert not image.is_truncated
    assert image.core.damage is None
    assert (image.core.blemish is not None) == name.startswith("checksum")


def test_a_profile_of_several_megabytes_is_used() -> None:
    swapped = SWAPPED.replace(b"rXYZ", b"?XYZ", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"?XYZ", b"gXYZ", 1)
    large = struct.pack(">I", len(swapped) + 2 * MEGABYTE) + swapped[4:] + bytes(2 * MEGABYTE)
    data = encoded(PIL.Image.new("RGB", (8, 8), "red"), "png", icc_profile=large)
    assert Image.open(data).pixels.getpixel((0, 0)) == pytest.approx((0, 255, 0), abs=3)


def test_what_makes_the_picture_is_damage_and_not_beside_it() -> None:
    key = chunk(b"tRNS", struct.pack(">HHH", 0, 0, 0))
    assert Image.open(with_chunk(wrong(key))).core.damage == "the checksum of its tRNS chunk is wrong"


def segments(data: bytes) -> list[int]:
    """Where each segment of a JPEG begins, up to its first scan."""
    at, found = 2, []
    while data[at + 1] != 0xDA:
        found.append(at)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return [*found, at]


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_stray_bytes_between_a_jpegs_segments_lose_nothing(options: dict[str, bool]) -> None:
    data = encoded(photo(), "jpeg", **options)
    for at in segments(data):
        image = Image.open(data[:at] + b"\x12\x34" + data[at:])
        assert same(image.pixels, Image.open(data).pixels), at
        assert image.core.blemish == "2 bytes between its segments belong to none"


JPEG_FAULTS = {
    "short JFIF": (0xE0, b"JFIF\0"),
    "short EXIF": (0xE1, b"Exif\0\0MM"),
    "short profile": (0xE2, b"ICC_PROFILE\0"),
    "part of a profile": (0xE2, b"ICC_PROFILE\0\1\2" + bytes(500)),
    "short index of pictures": (0xE2, b"MPF\0MM\0*\xff\xff\xff\xff"),
    "Photoshop's resources": (0xED, b"Photoshop 3.0\x008BIM\x03\xed\xff"),
    "empty comment": (0xFE, b""),
    "reserved": (0xF3, bytes(40)),
}


@pytest.mark.parametrize("name", JPEG_FAULTS)
def test_a_fault_in_a_jpegs_other_segments_loses_nothing(name: str) -> None:
    data = encoded(photo(), "jpeg")
    assert same(Image.open(jpeg_with(data, *JPEG_FAULTS[name])).pixels, Image.open(data).pixels)


def test_scans_are_counted_in_the_picture_alone() -> None:
    data = encoded(photo(), "jpeg")
    preview = b"Exif\0\0" + b"\xff\xda" * 30_000
    assert same(Image.open(jpeg_with(data, 0xE1, preview)).pixels, Image.open(data).pixels)


@pytest.mark.parametrize("name", [b"EXIF", b"ICCP", b"XMP ", b"????"])
def test_a_fault_beside_a_webps_picture_loses_nothing(name: bytes) -> None:
    data = encoded(photo(), "webp")
    parts = [(data[12:16], data[20:])]
    extended = (b"VP8X", bytes([0x2C, 0, 0, 0]) + (95).to_bytes(3, "little") + (63).to_bytes(3, "little"))
    image = Image.open(riff(extended, (name, b"\xff\xff\xff"), *parts))
    assert same(image.pixels, Image.open(data).pixels)


@pytest.mark.parametrize("flags", [0x02, 0x3C, 0x3E])
def test_flags_for_what_a_webp_has_not_lose_nothing(flags: int) -> None:
    data = encoded(photo(), "webp")
    canvas = (b"VP8X", bytes([flags, 0, 0, 0]) + (95).to_bytes(3, "little") + (63).to_bytes(3, "little"))
    assert same(Image.open(riff(canvas, (data[12:16], data[20:]))).pixels, Image.open(data).pixels)


def taken() -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x010F] = "Maker"  # a block without a field of its own is not written everywhere
    exif.get_ifd(0x8769)[0x9003] = "2021:02:03 04:05:06"
    return exif


ITEM_FAULTS = {
    "content": (b"Exif\0\0", 0, b"\xff" * 20),
    "its header's place": (b"Exif\0\0", -4, b"\xff" * 4),
    "its kind": (b"Exif\0", 0, b"E\xeaif"),
}


@pytest.mark.parametrize("image_format", ["avif", "heif"])
@pytest.mark.parametrize("name", ITEM_FAULTS)
def test_a_fault_in_an_item_beside_the_picture_loses_nothing(image_format: str, name: str) -> None:
    data = file_of(image_format, exif=taken())
    assert str(Image.open(data).captured_at) == "2021-02-03 04:05:06"
    mark, from_it, new = ITEM_FAULTS[name]
    at = (data.index(mark) if name == "its kind" else data.rindex(mark)) + from_it
    image = Image.open(data[:at] + new + data[at + len(new) :])
    assert same(image.pixels, Image.open(data).pixels)


def test_a_fault_in_a_box_beside_the_picture_loses_nothing() -> None:
    codestream = jxl(photo())
    for name in (b"Exif", b"xml ", b"brob", b"jbrd", b"abcd"):
        image = Image.open(in_boxes(codestream, box(name, b"\xff" * 9)))
        assert same(image.pixels, Image.open(codestream).pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_value_that_a_tiff_has_not_loses_nothing(order: str) -> None:
    pixels = bytes(range(192))
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    rest = [(277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64)]
    whole = Image.open(tiff([*tags, *rest], pixels=pixels, order=order)).pixels
    for fault in [(270, 2, 40, 0xFFFFFF00), (271, 2, 0xFFFFFF00, 8), (282, 5, 1, 100_000), (34675, 7, 3000, 90)]:
        assert same(Image.open(tiff([*tags, *rest, fault], pixels=pixels, order=order)).pixels, whole)


def test_more_colours_than_a_bmps_pixels_can_name_lose_nothing() -> None:
    data = encoded(photo().quantize(256), "bmp")
    image = Image.open(data[:46] + struct.pack("<I", 300) + data[50:])
    assert same(image.pixels, Image.open(data).pixels)


def test_a_size_that_the_whole_file_states_wrongly_loses_nothing() -> None:
    data = encoded(photo(), "webp")
    for stated in (len(data) - 7, len(data) - 20, 2**32 - 1):
        image = Image.open(data[:4] + struct.pack("<I", stated) + data[8:])
        assert same(image.pixels, Image.open(data).pixels)
        assert not image.is_truncated


def test_a_wrong_checksum_of_the_end_mark_is_beside_the_picture() -> None:
    core = Image.open(encoded(photo(), "png")[:-4] + bytes(4)).core
    assert (core.damage, core.blemish) == (None, "the checksum of its IEND chunk is wrong")


def test_junk_between_a_gifs_blocks_is_told_and_loses_nothing() -> None:
    data = encoded(photo(8, 8).quantize(4), "gif")
    image = Image.open(data[:-1] + b"\1\2" + gif_frame(0, 0, 8, 8) + b";")
    assert (image.frame_count, image.core.blemish) == (2, "2 bytes between its blocks belong to none")
    assert same(image.pixels, Image.open(data).pixels)


def test_a_height_that_is_stated_behind_the_scan_counts() -> None:
    data = encoded(photo(), "jpeg")
    at = data.index(b"\xff\xc0") + 5
    late = data[:at] + b"\0\0" + data[at + 2 : -2] + b"\xff\xdc\0\x04" + struct.pack(">H", 64) + b"\xff\xd9"
    assert same(Image.open(late).pixels, Image.open(data).pixels)
