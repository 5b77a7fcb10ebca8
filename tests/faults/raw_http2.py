"""Callers who speak HTTP/2 by hand, so that they can refuse to read, to be alive, or to send what they began."""

from __future__ import annotations

import socket
import struct

from imagebatch.v1 import batch_service_pb2

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4
RECEIVE_BYTES = 4096
"""What the kernel may hold for a watcher that does not read."""


def watching(address: str, batch_id: str) -> socket.socket:
    """Ask to watch a batch, and leave everything that comes to whoever reads the socket."""
    message = batch_service_pb2.WatchBatchRequest(batch_id=batch_id).SerializeToString()
    peer = _calling(address, "WatchBatch")
    peer.sendall(_frame(DATA, END_STREAM, 1, struct.pack(">BI", 0, len(message)) + message))
    return peer


def submitting(address: str, size_bytes: int) -> socket.socket:
    """Begin a submit of so many bytes, of which `drip` sends more."""
    peer = _calling(address, "SubmitBatch")
    peer.sendall(_frame(DATA, 0, 1, struct.pack(">BI", 0, size_bytes)))
    return peer


def drip(peer: socket.socket) -> None:
    """Send a byte more of a request."""
    peer.sendall(_frame(DATA, 0, 1, b"x"))


def _calling(address: str, rpc: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    peer.connect((host, int(port)))
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": f"/imagebatch.v1.BatchService/{rpc}",
        ":authority": address,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    headers_frame = _frame(HEADERS, END_HEADERS, 1, b"".join(map(_header, headers, headers.values())))
    peer.sendall(PREFACE + _frame(SETTINGS, 0, 0, b"") + headers_frame)
    return peer


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _header(name: str, value: str) -> bytes:
    """Write a literal without indexing, of HPACK; names and values are shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
