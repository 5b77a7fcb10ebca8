"""What a worker and its child say to each other over a socket: msgpack in frames with their length in front.

Not pickle: a child whose decoder was taken over must be able to say something false, and no more. There are two kinds
of children. A serial one works through what it is sent in order, so its answers need no numbers; a concurrent one has
many items in flight, each of them a chunk of its own, and names them by the number of the chunk, counted from 1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Protocol

import msgspec

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.operations.configuration import Configuration

MAX_FRAME_BYTES = 72 * 1024 * 1024
"""The longest frame that a worker takes from a child: a result's image of MAX_STORED_BYTES, and room."""

MAX_STORED_BYTES = 64 * 1024 * 1024
MAX_OUTPUT_BYTES = 256 * 1024
MAX_MESSAGE_BYTES = 2 * 1024

EXIT_OUT_OF_MEMORY = 70
"""A child's exit status when an allocation failed."""

EXIT_FULL = 71
"""A child's exit status when it holds too much memory for another chunk: no crash, but time for a new one."""

_LENGTH = struct.Struct("<I")


class Message(msgspec.Struct, array_like=True, gc=False, tag=True):
    """Base of all messages."""


class Start(Message):
    """To the child, first: what it needs to know for life."""

    operations: dict[str, str]
    """Import references, `module:Class`, by name."""
    warm: list[str]
    max_image_pixels: int
    memory_bytes: int
    is_concurrent: bool
    configuration: Configuration


class Task(msgspec.Struct, array_like=True, gc=False):
    """One item of a chunk; its `size_bytes` bytes of image follow the chunk's frame."""

    item_index: int
    declared_type: str | None
    metadata: bytes | None
    size_bytes: int


class Chunk(Message):
    """To the child: items to run, one after the other."""

    operation: str
    parameters: bytes | None
    tasks: list[Task]


class Cancel(Message):
    """To a concurrent child: let go of an item. An `Ended` follows, unless one has come already."""

    number: int


class Up(Message):
    """The process runs."""


class Ready(Message):
    """The operations to be kept warm are loaded; chunks are welcome."""


class Loading(Message):
    """An operation is being loaded, at a chunk's beginning or before `Ready`."""

    operation: str


class Loaded(Message):
    """It is loaded."""

    seconds: float


class LoadFailed(Message):
    """It can't be. A serial child drops the chunk that asked for it, if any; a concurrent one answers each task."""

    operation: str
    reason: str
    traceback: str | None = None
    """Only where it was tried just now."""


class Started(Message):
    """Work on the chunk's first tasks begins: on one, or on all where the operation takes a chunk at once."""

    tasks: int


class StoredImage(msgspec.Struct, array_like=True, gc=False):
    """An encoded image that belongs to an outcome."""

    data: bytes
    sha256: str
    content_type: str


class Done(Message):
    """A task has ended: with `output`, or with `error_code` and `error_message`."""

    run_s: float
    """Decoding and running."""
    image_sha256: str
    """Empty where the image was not looked at."""
    output: bytes | None = None
    stored: StoredImage | None = None
    error_code: ItemErrorCode | None = None
    error_message: str | None = None
    transient: bool = False
    traceback: str | None = None
    next_started: bool = False
    """Work on the chunk's next task begins: saves a `Started` for each item."""
    retry_after_s: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Begun(Message):
    """A concurrent child began with an item."""

    number: int


class Ended(Message):
    """A concurrent child has ended an item, or let go of it before it had begun: then there is no `done`."""

    number: int
    done: Done | None = None


class Retiring(Message):
    """A concurrent child holds too much memory: it takes nothing more, ends what it has, and exits."""


FromChild = Up | Ready | Loading | Loaded | LoadFailed | Started | Done | Begun | Ended | Retiring
ToConcurrentChild = Chunk | Cancel

_encode = msgspec.msgpack.Encoder().encode
_decode_from_child = msgspec.msgpack.Decoder(FromChild).decode
_decode_start = msgspec.msgpack.Decoder(Start).decode
_decode_chunk = msgspec.msgpack.Decoder(Chunk).decode
_decode_to_concurrent = msgspec.msgpack.Decoder(ToConcurrentChild).decode


class BadFrame(Exception):
    """A child sent what no child of ours sends."""


def frame(message: Message) -> bytes:
    """Encode a message with its length in front."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Puts a child's messages together from what arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[FromChild]:
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
                    message: FromChild = _decode_from_child(body)
                except msgspec.MsgspecError as error:
                    raise BadFrame(str(error)) from error
                yield message
        finally:
            del self._buffer[:at]


class Stream(Protocol):
    """Where a child reads."""

    def read(self, size: int, /) -> bytes:
        """Read so many bytes; fewer only at the end."""


def read_start(stream: Stream) -> Start | None:
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


def _read_frame(stream: Stream) -> bytes | None:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(length)
    body = stream.read(size)
    return body if len(body) == size else None
