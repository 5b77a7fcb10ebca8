"""Images on their way to the server and back: what can be uploaded, and whether all of a download came."""

from __future__ import annotations

import hashlib
import io
import mimetypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from imagebatch.v1 import image_service_pb2
from imagebatch_client.errors import CorruptDownloadError, InvalidRequestError
from imagebatch_client.types import DownloadedImage

# The contract allows 1 MiB; gRPC moves smaller messages with less memory at the same speed.
CHUNK_BYTES = 256 * 1024

ImageSource = str | os.PathLike[str] | bytes | BinaryIO


class Upload:
    """One image to upload: a path, bytes, or a binary file object that is read from where it stands and left open."""

    def __init__(self, image: ImageSource, file_name: str | None, content_type: str | None) -> None:
        self._image = image
        self._start: int | None = None
        if not isinstance(image, (str, os.PathLike, bytes)):
            self._start = image.tell() if image.seekable() else None
        name = file_name if file_name is not None else self._own_name()
        guessed = mimetypes.guess_type(name)[0] if content_type is None else content_type
        # A name that no message can hold is only a hint; its image is uploaded all the same.
        name = os.fsencode(name).decode(errors="replace")[:255]
        self.header = image_service_pb2.UploadImageRequest(
            header=image_service_pb2.UploadImageHeader(content_type=guessed or "", file_name=name)
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether the bytes can be read a second time."""
        return self._start is not None or isinstance(self._image, (str, os.PathLike, bytes))

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the image at its beginning. Raises OSError if its file can't be opened."""
        if isinstance(self._image, (str, os.PathLike)):
            with Path(self._image).open("rb") as file:
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


def chunk_request(chunk: bytes) -> image_service_pb2.UploadImageRequest:
    if not isinstance(chunk, bytes):
        raise InvalidRequestError.of_field("image", "was opened as text; open it with mode 'rb'")
    return image_service_pb2.UploadImageRequest(chunk=chunk)


class Download:
    """The messages of one download, put together."""

    def __init__(self, object_key: str) -> None:
        self._object_key = object_key
        self._header = image_service_pb2.DownloadImageHeader()
        self._chunks: list[bytes] = []

    def received(self, message: image_service_pb2.DownloadImageResponse) -> None:
        if message.HasField("header"):
            self._header = message.header
        else:
            self._chunks.append(message.chunk)

    def image(self) -> DownloadedImage:
        """Raises CorruptDownloadError if the bytes are not those that the header announced."""
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
