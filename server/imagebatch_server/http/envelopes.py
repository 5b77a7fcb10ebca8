"""Messages in envelopes: a byte of flags and a length before each, alike in Connect's streams and in gRPC-Web."""

from __future__ import annotations

import struct

from imagebatch_server.batches.errors import InvalidRequest, Violation

COMPRESSED = 0x01

_HEAD = struct.Struct(">BI")
HEAD_BYTES = _HEAD.size


def wrap(flags: int, data: bytes) -> tuple[bytes, bytes]:
    """Put a message into an envelope: what stands before it, and the message itself, which may be large."""
    return _HEAD.pack(flags, len(data)), data


def unwrap(body: bytes) -> tuple[int, bytes]:
    """Take the one message of a request out of its envelope; answers its flags too. Raises InvalidRequest."""
    if len(body) >= HEAD_BYTES:
        flags, size = _HEAD.unpack_from(body)
        if size == len(body) - HEAD_BYTES and not flags & ~COMPRESSED:
            return flags, body[HEAD_BYTES:]
    text = f"the body of {len(body)} bytes must hold one message in one envelope; send flags, length and message"
    raise InvalidRequest([Violation("", text)])
