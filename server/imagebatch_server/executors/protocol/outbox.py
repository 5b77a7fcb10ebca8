"""What a serial child has said and not sent yet, in memory that it shares with its worker.

Sending each quick item's outcome by itself costs more than the item. So the child puts it here first, where it outlives
the child, and sends several at once. The worker reads what was not sent when the child is gone, or works on something
slow: whatever the child said it hears, as if each word had been sent at once.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import sys
from contextlib import suppress

OUTBOX_BYTES = 128 * 1024
"""Room for what is not sent yet; what does not fit is sent at once."""

_HEAD_BYTES = mmap.PAGESIZE


class Outbox:
    """A ring of the last bytes of the child's stream, behind a count of all that it ever said.

    The byte that is the n-th of the stream is the n-th of the ring, modulo its size. The count is one word that is
    written after the bytes, so whenever the child is killed, they are whole up to it.
    """

    def __init__(self, fd: int) -> None:
        """Map it; `fd` may be closed then."""
        self._map = mmap.mmap(fd, _HEAD_BYTES + OUTBOX_BYTES)
        view = memoryview(self._map)
        self._said = view[:8].cast("Q")
        self._ring = view[_HEAD_BYTES:]

    @property
    def said(self) -> int:
        """Bytes that the child has said since its start, sent or not."""
        return self._said[0]

    def write(self, data: bytes, at: int) -> None:
        """Put what is said after the first `at` bytes, no more than the ring holds."""
        place = at % OUTBOX_BYTES
        first = min(len(data), OUTBOX_BYTES - place)
        self._ring[place : place + first] = data[:first]
        if first < len(data):
            self._ring[: len(data) - first] = data[first:]
        self._said[0] = at + len(data)

    def read(self, start: int, end: int) -> bytes:
        """Read what was said between two counts of bytes, no more than the ring holds."""
        place, size = start % OUTBOX_BYTES, end - start
        return bytes(self._ring[place : place + size]) + bytes(self._ring[: max(0, place + size - OUTBOX_BYTES)])

    def close(self) -> None:
        """Give the memory back."""
        self._said.release()
        self._ring.release()
        with suppress(BufferError):  # of views that are on their way out
            self._map.close()


def new_memory() -> int | None:
    """Make the memory of an outbox; None where the system has none whose size can't be changed by a child."""
    if sys.platform != "linux":
        return None
    fd = os.memfd_create("outbox", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, _HEAD_BYTES + OUTBOX_BYTES)
    # Else a child whose decoder was taken over could shrink it, and reading would kill the server.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd
