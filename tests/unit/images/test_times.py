"""When a picture was taken, by whichever of its fields says so."""

from __future__ import annotations

from datetime import datetime

import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo
from tests.unit.images.crafted import encoded, photo
from tests.unit.images.test_beside import box, in_boxes
from tests.unit.images.test_formats import jxl

from imagebatch_server.images.decode import Image

ORIGINAL, DIGITIZED, OFFSET, OFFSET_DIGITIZED = 0x9003, 0x9004, 0x9011, 0x9012


def taken(image_format: str = "jpeg", xmp: str = "", **fields: str) -> tuple[str, str] | None:
    exif = PIL.Image.Exif()
    exif[0x010F] = "Maker"  # a block without a field of its own is not written everywhere
    exif.get_ifd(0x8769).update({int(tag.removeprefix("_")): value for tag, value in fields.items()})
    options: dict[str, object] = {"exif": exif} if fields else {}
    if xmp:
        options["xmp"] = f"<x:xmpmeta><rdf:Description {xmp}/></x:xmpmeta>".encode()
    found = Image.open(encoded(photo(), image_format, **options)).captured
    return None if found is None else (found.at.isoformat(), found.source)


def exif(**values: str) -> dict[str, str]:
    tags = {"original": ORIGINAL, "digitized": DIGITIZED, "offset": OFFSET, "offset_digitized": OFFSET_DIGITIZED}
    return {f"_{tags[name]}": value for name, value in values.items()}


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp", "avif"])
def test_the_zone_is_read_where_the_file_names_it(image_format: str) -> None:
    fields = exif(original="2024:02:29 13:14:15", offset="+05:30")
    assert taken(image_format, **fields) == ("2024-02-29T13:14:15+05:30", "EXIF DateTimeOriginal")


@pytest.mark.parametrize("offset", ["", "   :  ", "+99:99", "somewhere"])
def test_a_zone_that_is_none_leaves_the_time_local(offset: str) -> None:
    fields = exif(original="2024:02:29 13:14:15", offset=offset)
    assert taken(**fields) == ("2024-02-29T13:14:15", "EXIF DateTimeOriginal")


def test_digitized_counts_where_nothing_else_is_said() -> None:
    digitized = exif(digitized="2024:03:01 10:00:00", offset_digitized="-08:00")
    assert taken(**digitized) == ("2024-03-01T10:00:00-08:00", "EXIF DateTimeDigitized")
    unset = exif(original="0000:00:00 00:00:00") | digitized
    assert taken(**unset) == ("2024-03-01T10:00:00-08:00", "EXIF DateTimeDigitized")
    both = exif(original="2024:02:29 13:14:15") | digitized
    assert taken(**both) == ("2024-02-29T13:14:15", "EXIF DateTimeOriginal")


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
def test_xmp_is_read(image_format: str) -> None:
    xmp = 'photoshop:DateCreated="2023-07-04T08:09:10.25+01:00"'
    assert taken(image_format, xmp) == ("2023-07-04T08:09:10.250000+01:00", "XMP photoshop:DateCreated")


@pytest.mark.parametrize(
    ("xmp", "expected"),
    [
        ('exif:DateTimeOriginal="2023-07-04T08:09:10"', "2023-07-04T08:09:10"),
        ("exif:DateTimeOriginal='2023-07-04T08:09:10Z'", "2023-07-04T08:09:10+00:00"),
        ("><exif:DateTimeOriginal>2023-07-04T08:09</exif:DateTimeOriginal><a", "2023-07-04T08:09:00"),
        ('xmp:CreateDate="2023-07-04T08:09:10"', "2023-07-04T08:09:10"),
        ('xmp:ModifyDate="2023-07-04T08:09:10"', None),
        ('xmp:CreateDate="2023-07"', None),
        ('xmp:CreateDate="2023-13-04T08:09:10"', None),
    ],
)
def test_of_xmp_only_times_of_the_picture_count(xmp: str, expected: str | None) -> None:
    found = taken("jpeg", xmp)
    assert (None if found is None else found[0]) == expected


def test_the_picture_goes_before_its_digitizing_whatever_says_so() -> None:
    xmp = 'exif:DateTimeOriginal="2023-07-04T08:09:10"'
    assert taken("jpeg", xmp, **exif(digitized="2024:03:01 10:00:00")) == (
        "2023-07-04T08:09:10",
        "XMP exif:DateTimeOriginal",
    )


def test_xmp_of_a_tiff_is_read() -> None:
    data = encoded(photo(), "tiff", tiffinfo={700: b'<a exif:DateTimeOriginal="2023-07-04T08:09:10"/>'})
    assert Image.open(data).captured_at == datetime.fromisoformat("2023-07-04T08:09:10")


def test_xmp_of_a_png_is_read() -> None:
    for is_compressed in (False, True):
        text = PngInfo()
        text.add_itxt("XML:com.adobe.xmp", '<a exif:DateTimeOriginal="2023-07-04T08:09:10"/>', zip=is_compressed)
        assert Image.open(encoded(photo(), "png", pnginfo=text)).captured_at == datetime.fromisoformat(
            "2023-07-04T08:09:10"
        )


def test_boxes_of_jpeg_2000_and_jpeg_xl_are_read() -> None:
    xmp = b"<x:xmpmeta xmp:CreateDate='2022-01-02T03:04:05'/>"
    identifier = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    behind = encoded(photo(), "jpeg2000")
    at = behind.index(b"jp2c") - 4
    jp2 = behind[:at] + box(b"uuid", identifier + xmp) + behind[at:]
    for data in (jp2, in_boxes(jxl(photo()), box(b"xml ", xmp))):
        found = Image.open(data).captured
        assert found is not None
        assert (found.at, found.source) == (datetime(2022, 1, 2, 3, 4, 5), "XMP xmp:CreateDate")  # noqa: DTZ001 - it has none
