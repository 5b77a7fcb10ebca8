"""Messages on a socket: msgpack in frames with their length in front; a chunk's images follow its frame as they are."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

import msgspec

from imagebatch_server.executors.protocol.cluster import StartDriver, ToDriver, decode_to_driver
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

_COMMON_BYTES = 64 * 1024
"""Room for many messages, and for none that carries an image."""

_LENGTH = struct.Struct("<I")

M = TypeVar("M")

_encode = msgspec.msgpack.Encoder().encode
decode_from_child = msgspec.msgpack.Decoder(FromChild).decode
decode_start = msgspec.msgpack.Decoder(Start | StartFetching).decode
decode_start_driver = msgspec.msgpack.Decoder(StartDriver).decode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
_decode_to_concurrent = msgspec.msgpack.Decoder(ToConcurrentChild).decode


class BadFrame(Exception):
    """A child sent what no child of ours sends."""


def frame(message: Message) -> bytes:
    """Encode a message with its length in front."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class FrameReader(Generic[M]):
    """Put a child's messages together from what is received into `space`; a large one is received where it stays."""

    def __init__(self, decode: Callable[[memoryview], M]) -> None:
        self._decode = decode
        self._common = memoryview(bytearray(_COMMON_BYTES))
        self._buffer = self._common
        """Where bytes go: what all share, or what a frame that is larger has for itself."""
        self._filled = 0

    @property
    def space(self) -> memoryview:
        """Where the next bytes belong; never empty."""
        return self._buffer[self._filled :]

    def heard(self, data: bytes) -> Iterator[M]:
        """Yield the messages that are complete with these bytes, which came another way. Raises BadFrame."""
        while data:
            size = min(len(data), len(self.space))
            self.space[:size] = data[:size]
            data = data[size:]
            yield from self.received(size)

    def received(self, size: int) -> Iterator[M]:
        """Yield the messages that are complete with so many bytes more. Raises BadFrame."""
        self._filled += size
        if self._buffer is self._common:
            yield from self._from_common()
        elif self._filled == len(self._buffer):
            body, self._buffer, self._filled = self._buffer, self._common, 0
            yield self._decoded(body)

    def _from_common(self) -> Iterator[M]:
        at = 0
        try:
            while self._filled - at >= _LENGTH.size:
                (size,) = _LENGTH.unpack_from(self._common, at)
                if size > MAX_FRAME_BYTES:
                    raise BadFrame(f"a frame of {size:,} bytes")
                if self._filled - at - _LENGTH.size < size:
                    break
                body = self._common[at + _LENGTH.size : at + _LENGTH.size + size]
                at += _LENGTH.size + size
                yield self._decoded(body)
        finally:
            self._keep(self._common[at : self._filled])

    def _keep(self, begun: memoryview) -> None:
        """Keep the beginning of a frame where its rest has room."""
        size = _LENGTH.unpack_from(begun)[0] if len(begun) >= _LENGTH.size else 0
        if _COMMON_BYTES - _LENGTH.size < size <= MAX_FRAME_BYTES:
            begun = begun[_LENGTH.size :]
            self._buffer = memoryview(bytearray(size))
        self._filled = len(begun)
        self._buffer[: self._filled] = begun

    def _decoded(self, body: memoryview) -> M:
        try:
            return self._decode(body)
        except msgspec.MsgspecError as error:
            raise BadFrame(str(error)) from error


class Stream(Protocol):
    """Where a child reads."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes; fewer only at the end."""


def read_start(stream: Stream, decode: Callable[[bytes], M]) -> M | None:
    """Read the first message, in the child; None if the server is gone."""
    body = _read_frame(stream)
    return None if body is None else decode(body)


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


async def read_to_driver(stream: AsyncStream) -> ToDriver:
    """Read a message, in a driver of a cluster."""
    (size,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    message: ToDriver = decode_to_driver(await stream.readexactly(size))
    return message


def _read_frame(stream: Stream) -> bytes | None:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    body = stream.read(size)
    return body if len(body) == size else None
