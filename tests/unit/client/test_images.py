from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest

from imagebatch.v1 import image_service_pb2
from imagebatch_client.errors import CorruptDownloadError, InvalidRequestError
from imagebatch_client.images import Download, Upload, chunk_request


def header(upload: Upload) -> tuple[str, str]:
    return upload.header.header.file_name, upload.header.header.content_type


def read_all(upload: Upload) -> bytes:
    with upload.open() as file:
        return file.read()


def test_hints_come_from_the_path(tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"abc")
    upload = Upload(path, None, None)
    assert header(upload) == ("cat.jpg", "image/jpeg")
    assert read_all(upload) == read_all(upload) == b"abc"
    assert upload.is_repeatable
    with path.open("rb") as file:
        assert header(Upload(file, None, None)) == ("cat.jpg", "image/jpeg")


def test_hints_that_are_given_win() -> None:
    assert header(Upload(b"", "x.png", "image/webp")) == ("x.png", "image/webp")
    assert header(Upload(b"", None, None)) == ("", "")


def test_a_name_that_no_message_can_hold_is_made_one(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    assert header(Upload(tmp_path / name, None, None)) == ("caf\ufffd.jpg", "image/jpeg")
    assert len(header(Upload(b"", "x" * 300, None))[0]) == 255


def test_a_file_object_is_read_from_where_it_stands_each_time_and_left_open() -> None:
    file = io.BytesIO(b"headerbody")
    file.seek(6)
    upload = Upload(file, None, None)
    assert upload.is_repeatable
    assert read_all(upload) == read_all(upload) == b"body"
    assert not file.closed


def test_a_pipe_can_be_read_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"once")
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        upload = Upload(pipe, None, None)
        assert not upload.is_repeatable
        assert header(upload) == ("", "")
        assert read_all(upload) == b"once"


def test_a_file_opened_as_text_is_told_so() -> None:
    with pytest.raises(InvalidRequestError, match="open it with mode 'rb'"):
        chunk_request("text")  # type: ignore[arg-type]


def received(content: bytes, announced: bytes) -> Download:
    download = Download("key")
    sha256 = hashlib.sha256(announced).hexdigest()
    download.received(
        image_service_pb2.DownloadImageResponse(
            header=image_service_pb2.DownloadImageHeader(file_name="a", sha256=sha256, size_bytes=len(announced))
        )
    )
    for byte in content:
        download.received(image_service_pb2.DownloadImageResponse(chunk=bytes([byte])))
    return download


@pytest.mark.parametrize("content", [b"", b"abc"])
def test_a_download_is_put_together(content: bytes) -> None:
    image = received(content, content).image()
    assert (image.content, image.size_bytes, image.file_name) == (content, len(content), "a")


def test_a_download_that_is_not_what_was_announced_is_an_error() -> None:
    with pytest.raises(CorruptDownloadError, match="key: the 2 bytes that came are not the 3 bytes"):
        received(b"ab", b"abc").image()
