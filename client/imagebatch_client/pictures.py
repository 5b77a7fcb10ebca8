"""Pictures that are in memory, as files: Pillow's images and arrays, without needing either library."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, BinaryIO, Protocol

from imagebatch_client.errors import InvalidRequestError

_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's number for grey, grey with alpha, RGB and RGB with alpha, by channels."""
_MODES_OF_PNG = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_FAST = 1


class PillowImage(Protocol):
    """What is needed of a `PIL.Image.Image`."""

    @property
    def mode(self) -> str: ...

    def save(self, fp: BinaryIO, format: str) -> None: ...  # noqa: A002  # as Pillow calls it

    def convert(self, mode: str) -> Any: ...


class Array(Protocol):
    """A `numpy.ndarray` and whatever else has the interface: height, width and channels (1 to 4) of bytes."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


def png_of(image: object) -> bytes | None:
    """Make a PNG file of a picture; None for what is no picture.

    Raises InvalidRequestError for a picture of an unknown form.
    """
    if isinstance(image, (str, bytes, bytearray, memoryview)):
        return None
    if hasattr(image, "__array_interface__") and not hasattr(image, "save"):
        return _of_array(image)
    if hasattr(image, "save") and hasattr(image, "convert") and hasattr(image, "mode"):
        return _of_pillow(image)
    return None


def _of_pillow(image: PillowImage) -> bytes:
    file = io.BytesIO()
    try:
        (image if image.mode in _MODES_OF_PNG else image.convert("RGB")).save(file, "PNG")
    except (OSError, SystemError, TypeError, ValueError) as error:  # one without pixels, or that is closed
        raise _refusal(f"can't be written as PNG: {error}") from error
    return file.getvalue()


def _of_array(array: Array) -> bytes:
    interface = array.__array_interface__
    shape: tuple[int, ...] = tuple(interface["shape"])
    channels = shape[2] if len(shape) == 3 else 1
    if interface["typestr"] not in {"|u1", "<u1", ">u1"}:
        raise _refusal(f"has elements of type {interface['typestr']}; give uint8, 0 to 255")
    if len(shape) not in {2, 3} or channels not in _COLOUR_TYPES or 0 in shape:
        raise _refusal(f"has the shape {shape}; give (height, width) or (height, width, 1 to 4)")
    height, width = shape[:2]
    view = memoryview(array)  # type: ignore[arg-type]  # whatever has the interface is a buffer as well
    return _png(width, height, channels, view.tobytes())


def _png(width: int, height: int, channels: int, pixels: bytes) -> bytes:
    row_bytes = width * channels
    rows = b"".join(b"\0" + pixels[at : at + row_bytes] for at in range(0, height * row_bytes, row_bytes))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, _FAST)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _refusal(description: str) -> InvalidRequestError:
    return InvalidRequestError.of_field("image", description)
