"""Pictures in memory become PNG files, without needing the libraries that made them."""

from __future__ import annotations

import array
import io
from typing import Any

import pytest

from imagebatch_client import InvalidRequestError
from imagebatch_client.images import Upload

numpy = pytest.importorskip("numpy")
pillow = pytest.importorskip("PIL.Image")


def stored(image: Any) -> Any:
    upload = Upload(image, None, None)
    assert upload.header.header.content_type == "image/png"
    assert upload.is_repeatable
    with upload.open() as file:
        return pillow.open(io.BytesIO(file.read()))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 2), (3, 5, 3), (3, 5, 4), (1, 1)], ids=str)
def test_an_array_is_stored_as_it_is(shape: tuple[int, ...]) -> None:
    pixels = numpy.arange(numpy.prod(shape), dtype=numpy.uint8).reshape(shape)
    assert (numpy.asarray(stored(pixels)) == pixels.reshape(numpy.asarray(stored(pixels)).shape)).all()


def test_a_view_of_an_array_is_stored_as_it_is_seen() -> None:
    pixels = numpy.arange(300, dtype=numpy.uint8).reshape(10, 10, 3)[::2, ::-1]
    assert (numpy.asarray(stored(pixels)) == pixels).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "YCbCr"])
def test_an_image_of_pillow_is_stored(mode: str) -> None:
    image = pillow.new("RGB", (7, 4), (10, 200, 30)).convert(mode)
    assert stored(image).size == (7, 4)
    if mode in {"L", "RGB", "RGBA"}:
        assert list(stored(image).getdata()) == list(image.getdata())


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: numpy.zeros((2, 2)), "has elements of type <f8; give uint8, 0 to 255"),
        (lambda: numpy.zeros((2, 2, 5), numpy.uint8), r"has the shape \(2, 2, 5\)"),
        (lambda: numpy.zeros((4,), numpy.uint8), r"has the shape \(4,\)"),
        (lambda: numpy.zeros((0, 4), numpy.uint8), r"has the shape \(0, 4\)"),
        (lambda: pillow.new("RGB", (0, 4)), "can't be written as PNG"),
    ],
)
def test_what_is_no_picture_is_refused(made: Any, told: str) -> None:
    with pytest.raises(InvalidRequestError, match=told):
        Upload(made(), None, None)


def test_a_flat_buffer_is_a_files_bytes() -> None:
    with Upload(memoryview(array.array("B", b"abc")), None, None).open() as file:
        assert file.read() == b"abc"
