"""Envelopes as Connect's streams and gRPC-Web have them, read and written by their specifications alone."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator
from typing import Any

END_OF_STREAM, TRAILERS = 0x02, 0x80


def frame(data: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(data)) + data


def frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    """All envelopes of a body, decompressed."""
    while body:
        flags, size = struct.unpack_from(">BI", body)
        data, body = body[5 : 5 + size], body[5 + size :]
        assert len(data) == size, "the last envelope was cut"
        yield flags, gzip.decompress(data) if flags & 1 else data


def connect_stream(body: bytes) -> tuple[list[Any], dict[str, Any]]:
    """JSON messages of a stream, and how it ended."""
    *messages, (flags, end) = frames(body)
    assert flags == END_OF_STREAM
    return [json.loads(data) for _, data in messages], json.loads(end)


def grpc_web(body: bytes) -> tuple[list[bytes], dict[str, str]]:
    """Messages of a call by gRPC-Web, and its trailers."""
    *messages, (flags, trailers) = frames(body)
    assert flags == TRAILERS
    lines = trailers.decode().splitlines()
    return [data for _, data in messages], dict(line.split(": ", 1) for line in lines)
