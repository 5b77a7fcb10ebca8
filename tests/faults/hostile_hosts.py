"""Web servers that do their worst, each in a process of its own so that it costs the test's own clients no time."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache

MIB = 1024 * 1024
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


def endless_body(peer: socket.socket) -> None:
    """Send zeros without end."""
    peer.sendall(_OK + b"\r\n")
    while True:
        peer.sendall(bytes(MIB))


def one_byte_chunks(peer: socket.socket) -> None:
    """Send a chunk for each byte, as many of them as the network takes."""
    peer.sendall(_CHUNKED)
    while True:
        peer.sendall(b"1\r\nx\r\n" * 10_000)


def one_byte_segments(peer: socket.socket) -> None:
    """Send a segment for each byte."""
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.sendall(_OK + b"\r\n")
    while True:
        peer.sendall(b"x")
        time.sleep(0.002)  # so that each byte is a segment of its own


def interim_answers(peer: socket.socket) -> None:
    """Send early hints without end."""
    while True:
        peer.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n" * 1_000)


def header_flood(peer: socket.socket) -> None:
    """Send headers without end."""
    peer.sendall(_OK)
    while True:
        peer.sendall(b"".join(b"X-%06d: %s\r\n" % (number, b"y" * 100) for number in range(1_000)))


def stalled_after(size_bytes: int) -> Callable[[socket.socket], None]:
    """Send so many bytes of a larger file, and then nothing."""

    def stall(peer: socket.socket) -> None:
        if size_bytes:
            peer.sendall(_OK + b"Content-Length: %d\r\n\r\n" % (50 * MIB - 1))
            for _ in range(size_bytes // MIB):
                peer.sendall(bytes(MIB))
        while peer.recv(1024):  # until it is left
            pass

    return stall


def gzip_bomb(peer: socket.socket) -> None:
    """Send a hundred megabytes of zeros that are a hundred kilobytes."""
    body = _bomb()
    peer.sendall(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(100 * MIB), 9)


def reset(peer: socket.socket) -> None:
    """Send a part of an answer, and reset the connection."""
    peer.sendall(_OK + b"Content-Length: 100000\r\n\r\n" + bytes(1_000))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


SORTS: Mapping[str, Callable[[socket.socket], None]] = {
    "endless_body": endless_body,
    "one_byte_chunks": one_byte_chunks,
    "one_byte_segments": one_byte_segments,
    "interim_answers": interim_answers,
    "header_flood": header_flood,
    "stalled_at_0": stalled_after(0),
    "stalled_at_1_mib": stalled_after(MIB),
    "stalled_at_49_mib": stalled_after(49 * MIB),
    "gzip_bomb": gzip_bomb,
    "reset": reset,
}


@contextmanager
def hosting(sort: str) -> Iterator[list[str]]:
    """URLs without a path of eight hosts that all do this, while the block runs."""
    command = [sys.executable, "-m", "tests.faults.hostile_hosts", sort]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield [f"http://127.0.1.{number}:{port}" for number in range(1, 9)]
    finally:
        process.kill()
        process.communicate()


def main(sort: str) -> None:
    """Serve until killed."""
    _bomb()
    listener = socket.create_server(("0.0.0.0", 0), backlog=512)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    while True:
        peer, _ = listener.accept()
        threading.Thread(target=_serve, args=(SORTS[sort], peer), daemon=True).start()


def _serve(answer: Callable[[socket.socket], None], peer: socket.socket) -> None:
    with peer, suppress(OSError):
        peer.recv(65_536)
        answer(peer)


if __name__ == "__main__":
    main(sys.argv[1])
