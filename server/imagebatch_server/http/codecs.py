"""Messages as they travel over HTTP: protobuf's bytes or its JSON, plain or compressed."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from imagebatch_server.batches.errors import InvalidRequest, NotSupported, Violation
from imagebatch_server.rpc.calls import too_large

T = TypeVar("T")

GZIP = "gzip"
IDENTITY = "identity"
COMPRESSED_FROM_BYTES = 1024
"""What is smaller gains nothing by it."""

_AT_ONCE_BYTES = 8 * 1024
"""What is larger is converted in a thread: the loop has other callers."""
_GZIP_FORMAT = 16 + zlib.MAX_WBITS
_FASTEST = 1


class Codec:
    """Turn requests into protobuf's bytes and responses into what was asked for; `name` is `proto` or `json`.

    `max_bytes` is the most that a request may have, decompressed.
    """

    def __init__(self, name: str, threads: ThreadPoolExecutor, max_bytes: int) -> None:
        self.name = name
        self._threads = threads
        self._max_bytes = max_bytes

    async def request(self, kind: type[Message], data: bytes, compression: str) -> bytes:
        """Read a request. Raises InvalidRequest, NotSupported, LimitExceeded."""
        if compression == GZIP:
            data = await self._convert(data, lambda: gunzip(data, self._max_bytes))
        elif compression != IDENTITY:
            raise NotSupported(f"the compression {compression!r}", f"send {GZIP} or none")
        if self.name == "json":
            data = await self._convert(data, lambda: from_json(kind, data))
        return data

    async def response(self, kind: type[Message], data: bytes, compression: str) -> tuple[bytes, bool]:
        """Write a response; answers also whether it was compressed."""
        if self.name == "json":
            data = await self._convert(data, lambda: to_json(kind, data))
        if compression != GZIP or len(data) < COMPRESSED_FROM_BYTES:
            return data, False
        return await self._convert(data, lambda: gzip(data)), True

    async def _convert(self, data: bytes, work: Callable[[], T]) -> T:
        if len(data) <= _AT_ONCE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def from_json(kind: type[Message], data: bytes) -> bytes:
    """Read protobuf's JSON. Raises InvalidRequest for what is none, or has fields that the contract doesn't have."""
    message = kind()
    try:
        if not data.lstrip().startswith(b"{"):
            raise ValueError("it is no object, which begins with a brace")
        json_format.Parse(data, message, max_recursion_depth=100)
        return message.SerializeToString()
    except (json_format.ParseError, UnicodeError, RecursionError, ValueError) as error:
        why = str(error).partition("\n")[0]
        text = f"can't be read as the JSON of {kind.DESCRIPTOR.full_name}: {why}"
        raise InvalidRequest([Violation("", text)]) from None


def to_json(kind: type[Message], data: bytes) -> bytes:
    """Write protobuf's JSON in one line."""
    message = json_format.MessageToDict(kind.FromString(data))
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def gunzip(data: bytes, max_bytes: int) -> bytes:
    """Decompress, and stop where it becomes more than `max_bytes`. Raises InvalidRequest, LimitExceeded."""
    inflating = zlib.decompressobj(_GZIP_FORMAT)
    try:
        inflated = inflating.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest([Violation("", f"can't be decompressed ({error}); send it anew")]) from None
    if len(inflated) > max_bytes:
        raise too_large(len(inflated), max_bytes)
    if not inflating.eof or inflating.unused_data:
        raise InvalidRequest([Violation("", "is not one whole gzip stream; send it anew")])
    return inflated


def gzip(data: bytes) -> bytes:
    """Compress, fast."""
    deflating = zlib.compressobj(_FASTEST, wbits=_GZIP_FORMAT)
    return deflating.compress(data) + deflating.flush()


def accepted(header: str) -> str:
    """Choose a response's compression by what the caller accepts."""
    offers = (offer.strip().partition(";") for offer in header.split(","))
    return GZIP if any(name.strip() == GZIP and weight.strip() != "q=0" for name, _, weight in offers) else IDENTITY
