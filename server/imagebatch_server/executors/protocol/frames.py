"""Messages on a socket: msgpack in frames with their length in front; a chunk's images follow its frame as they are."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from imagebatch_server.executors.protocol.fetching import StartFetching, ToFetchingChild, decode_to_fetching_child
from imagebatch_server.executors.protocol.messages import (
    MAX_STORED_BYTES,
    Cancel,
    Chunk,
    FromChild,
    Message,
    Start,
    Task,
    ToConcurrentChild,
)

MAX_FRAME_BYTES = MAX_STORED_BYTES + 8 * 1024 * 1024
"""The longest frame that a worker takes from a child: a result's image, and room."""

_LENGTH = struct.Struct("<I")

M = TypeVar("M")

_encode = msgspec.msgpack.Encoder().encode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode
_decode_start = msgspec.msgpack.Decoder(Start | StartFetching).decode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
_decode_to_concurrent = msgspec.msgpack.Decoder(ToConcurrentChild).decode


class BadFrame(Exception):
    """A child sent what no child of ours sends."""


def frame(message: Message) -> bytes:
    """Encode a message with its length in front."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class FrameReader(Generic[M]):
    """Put a child's messages together from what arrives."""

    def __init__(self, decode: Callable[[bytearray], M]) -> None:
        self._decode = decode
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[M]:
        """Yield the messages that are complete now. Raises BadFrame."""
        self._buffer += data
        at, end = 0, len(self._buffer)
        try:
            while end - at >= _LENGTH.size:
                (size,) = _LENGTH.unpack_from(self._buffer, at)
                if size > MAX_FRAME_BYTES:
                    raise BadFrame(f"a frame of {size:,} bytes")
                if end - at - _LENGTH.size < size:
                    break
                body = self._buffer[at + _LENGTH.size : at + _LENGTH.size + size]
                at += _LENGTH.size + size
                try:
                    message = self._decode(body)
                except msgspec.MsgspecError as error:
                    raise BadFrame(str(error)) from error
                yield message
        finally:
            del self._buffer[:at]


class Stream(Protocol):
    """Where a child reads."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes; fewer only at the end."""


def read_start(stream: Stream) -> Start | StartFetching | None:
    """Read the first message, in the child; None if the worker is gone."""
    body = _read_frame(stream)
    return None if body is None else _decode_start(body)


def read_chunk(stream: Stream) -> tuple[Chunk, list[bytes]] | None:
    """Read a chunk and its images, in the child; None if the worker is gone."""
    body = _read_frame(stream)
    if body is None:
        return None
    chunk = _decode_chunk(body)
    images = [stream.read(task.size_bytes) for task in chunk.tasks]
    whole = all(len(image) == task.size_bytes for image, task in zip(images, chunk.tasks, strict=True))
    return (chunk, images) if whole else None


class AsyncStream(Protocol):
    """Where a concurrent child reads."""

    async def readexactly(self, n: int, /) -> bytes:
        """Read so many bytes. Raises asyncio.IncompleteReadError at the end."""


async def read_to_concurrent(stream: AsyncStream) -> Cancel | tuple[Task, Chunk, bytes]:
    """Read a message, in a concurrent child; a chunk comes as its one task, itself and the image."""
    (size,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    message: ToConcurrentChild = _decode_to_concurrent(await stream.readexactly(size))
    if isinstance(message, Cancel):
        return message
    (task,) = message.tasks
    return task, message, await stream.readexactly(task.size_bytes)


async def read_to_fetching(stream: AsyncStream) -> ToFetchingChild:
    """Read a message, in a fetching child."""
    (size,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    message: ToFetchingChild = decode_to_fetching_child(await stream.readexactly(size))
    return message


def _read_frame(stream: Stream) -> bytes | None:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    body = stream.read(size)
    return body if len(body) == size else None
