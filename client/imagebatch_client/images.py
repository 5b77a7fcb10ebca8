"""Images on their way to the server and back: what can be uploaded, and whether all of a download came."""

from __future__ import annotations

import copy
import hashlib
import io
import mimetypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import BinaryIO, cast

from imagebatch.v1 import image_service_pb2
from imagebatch_client.errors import CorruptDownloadError, InvalidRequestError
from imagebatch_client.files import valid_text
from imagebatch_client.pictures import Array, PillowImage, png_of
from imagebatch_client.types import DownloadedImage

# The contract allows 1 MiB; gRPC moves smaller messages with less memory at the same speed.
CHUNK_BYTES = 256 * 1024

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | PillowImage | Array


class Upload:
    """One image to upload: a path, bytes, or a binary file object that is read from where it stands and left open."""

    def __init__(self, image: ImageSource, file_name: str | None, content_type: str | None) -> None:
        if (png := png_of(image)) is not None:
            content_type = content_type or "image/png"
        self._image = _readable(image) if png is None else png
        self._start: int | None = None
        if not isinstance(self._image, (str, os.PathLike, bytes)):
            self._start = _position(self._image)
        for field, hint in (("file_name", file_name), ("content_type", content_type)):
            if not isinstance(hint, (str, NoneType)):
                raise InvalidRequestError.of_field(field, f"is {type(hint).__name__}; give a string")
        if content_type is not None and not content_type.isascii():
            raise InvalidRequestError.of_field("content_type", f"{content_type!r:.100} is none; give one, as image/png")
        name = file_name if file_name is not None else self._own_name()
        guessed = mimetypes.guess_type(name)[0] if content_type is None else content_type
        # A name that no message can hold is only a hint; its image is uploaded all the same.
        name = valid_text(name)[:255]
        self.header: image_service_pb2.UploadImageRequest = image_service_pb2.UploadImageRequest(
            header=image_service_pb2.UploadImageHeader(content_type=guessed or "", file_name=name)
        )

    def announcing(self, sha256: str) -> Upload:
        """Make the same, with a header that tells the content."""
        upload = copy.copy(self)
        upload.header = image_service_pb2.UploadImageRequest(header=self.header.header)
        upload.header.header.sha256 = sha256
        return upload

    def asking(self, sha256: str) -> Upload:
        """Such a header alone: whether the server has the content."""
        upload = self.announcing(sha256)
        upload._image = b""  # noqa: SLF001  # its own
        return upload

    @property
    def is_repeatable(self) -> bool:
        """Whether the bytes can be read a second time."""
        return self._start is not None or isinstance(self._image, (str, os.PathLike, bytes))

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open the image at its beginning. Raises OSError if its file can't be opened."""
        if isinstance(self._image, (str, os.PathLike)):
            with _opened(Path(self._image)) as file:
                yield file
        elif isinstance(self._image, bytes):
            yield io.BytesIO(self._image)
        else:
            if self._start is not None:
                self._image.seek(self._start)
            yield self._image

    def _own_name(self) -> str:
        if isinstance(self._image, bytes):
            return ""
        name = self._image if isinstance(self._image, (str, os.PathLike)) else getattr(self._image, "name", "")
        return Path(name).name if isinstance(name, (str, os.PathLike)) else ""  # a pipe's name is its descriptor


def _readable(image: ImageSource) -> str | os.PathLike[str] | bytes | BinaryIO:
    """Narrow down what is no picture in memory: a path, bytes or a file."""
    return bytes(image) if isinstance(image, (bytearray, memoryview)) else cast("str | bytes | BinaryIO", image)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except ValueError as error:  # a NUL, or what no file name can be encoded of
        raise InvalidRequestError.of_field("image", f"{str(path)!r} is no path: {error}") from error


def _position(file: BinaryIO) -> int | None:
    """Where a file object stands; None if it can't be read a second time."""
    try:
        return file.tell() if file.seekable() else None
    except (AttributeError, ValueError) as error:  # no file, or one that is closed
        raise InvalidRequestError.of_field(
            "image", f"{file!r:.100} can't be read ({error}); give a path, bytes, or an open binary file"
        ) from error


def chunk_request(chunk: bytes) -> image_service_pb2.UploadImageRequest:
    if not isinstance(chunk, bytes):
        raise InvalidRequestError.of_field("image", "was opened as text; open it with mode 'rb'")
    return image_service_pb2.UploadImageRequest(chunk=chunk)


class LargerImage(Exception):
    """A stored image has more bytes than are wanted."""


class Download:
    """The messages of one download, put together; of an image of at most `most_bytes`, if they are given."""

    def __init__(self, object_key: str, most_bytes: int | None = None) -> None:
        self._object_key = object_key
        self._most_bytes = most_bytes
        self._header = image_service_pb2.DownloadImageHeader()
        self._chunks: list[bytes] = []

    def received(self, message: image_service_pb2.DownloadImageResponse) -> None:
        """Take the next message. Raises LargerImage at the first one, which tells the size."""
        if message.HasField("header"):
            self._header = message.header
            if self._most_bytes is not None and message.header.size_bytes > self._most_bytes:
                raise LargerImage
        else:
            self._chunks.append(message.chunk)

    def image(self) -> DownloadedImage:
        """Raise CorruptDownloadError if the bytes are not those that the header announced."""
        content = b"".join(self._chunks)
        if hashlib.sha256(content).hexdigest() != self._header.sha256:
            raise CorruptDownloadError(
                f"{self._object_key}: the {len(content)} bytes that came are not the {self._header.size_bytes} bytes "
                f"with SHA-256 {self._header.sha256} that the server announced; download it again"
            )
        return DownloadedImage(
            content_type=self._header.content_type,
            file_name=self._header.file_name,
            sha256=self._header.sha256,
            size_bytes=self._header.size_bytes,
            content=content,
        )
