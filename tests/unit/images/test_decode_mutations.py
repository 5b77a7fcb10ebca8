"""Real images with bytes changed, cut, doubled and moved: nothing but an ItemError may come out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.images.crafted import encoded, photo, psd, raw_file

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.decode import Image
from imagebatch_server.images.header import header

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::RuntimeWarning:PIL")


def _exif() -> PIL.Image.Exif:
    block = PIL.Image.Exif()
    block[0x0112] = 6
    block.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    return block


def _animated(image_format: str, **options: Any) -> bytes:
    return encoded(photo(32, 24), image_format, save_all=True, append_images=[photo(32, 24).rotate(180)], **options)


FILES = {
    "jpeg": encoded(photo(), "jpeg", exif=_exif()),
    "progressive jpeg": encoded(photo(), "jpeg", progressive=True),
    "cmyk jpeg": encoded(photo().convert("CMYK"), "jpeg"),
    "png": encoded(photo(), "png", exif=_exif()),
    "palette png": encoded(photo().quantize(16), "png", transparency=3),
    "16-bit png": encoded(PIL.Image.new("I;16", (9, 9), 700), "png"),
    "animated png": _animated("png"),
    "gif": _animated("gif"),
    "webp": encoded(photo(), "webp", exif=_exif()),
    "lossless webp": encoded(photo().convert("RGBA"), "webp", lossless=True),
    "animated webp": _animated("webp"),
    "bmp": encoded(photo().quantize(16), "bmp"),
    "tiff": _animated("tiff"),
    "lzw tiff": encoded(photo(), "tiff", compression="tiff_lzw", exif=_exif()),
    "jpeg tiff": encoded(photo(), "tiff", compression="jpeg"),
    "g4 tiff": encoded(photo().convert("1"), "tiff", compression="group4"),
    "avif": encoded(photo(), "avif", exif=_exif()),
    "jpeg 2000": encoded(photo(), "jpeg2000"),
    "psd": psd([band.tobytes() for band in photo().split()], 96, 64),
    "raw": raw_file(encoded(photo(), "jpeg"), orientation=6),
}

positions = st.floats(0, 1, exclude_max=True)
# Most of what a decoder believes stands at the start of a file.
early = positions.map(lambda share: share**4)
telling = st.sampled_from([b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff\xff\xff"])
changes = st.one_of(
    st.tuples(st.just("set"), positions | early, telling | st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), positions | early, st.binary(min_size=1, max_size=32)),
    st.tuples(st.just("double"), positions, st.binary(min_size=1, max_size=1)),
    st.tuples(st.just("drop"), positions, st.binary(min_size=1, max_size=1)),
)


def changed(data: bytes, how: str, where: float, what: bytes) -> bytes:
    at = int(len(data) * where)
    end = min(len(data), at + 1 + what[0])
    if how == "set":
        return data[:at] + what + data[at + len(what) :]
    if how == "insert":
        return data[:at] + what + data[at:]
    return data[:end] + data[at:] if how == "double" else data[:at] + data[end:]


@pytest.mark.parametrize("name", FILES)
@given(st.lists(changes, min_size=1, max_size=6))
@settings(max_examples=250, deadline=None)
def test_a_changed_file_decodes_or_is_refused(name: str, steps: list[tuple[str, float, bytes]]) -> None:
    data = FILES[name]
    for step in steps:
        data = changed(data, *step)
    header(data)
    try:
        image = Image.open(data, max_pixels=1_000_000)
        assert image.width * image.height <= 1_000_000
        assert image.frame_count >= 1
        assert max(image.reduced(40).size) <= 40
        assert image.pixels.mode == "RGB"
    except ItemError as error:
        assert error.message  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    "magic", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\0\0\0WEBP", b"II*\0", b"MM\0+", b"BM"]
)
@given(st.binary(max_size=300))
@settings(max_examples=250, deadline=None)
def test_noise_is_refused(magic: bytes, noise: bytes) -> None:
    header(magic + noise)
    with suppress(ItemError):
        _ = Image.open(magic + noise, max_pixels=10_000).pixels
