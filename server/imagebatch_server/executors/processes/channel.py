"""The worker's end of the socket to its child: never blocks, and can be read to its end at any moment."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from imagebatch_server.executors.protocol.frames import BadFrame, FrameReader
from imagebatch_server.executors.protocol.outbox import OUTBOX_BYTES, Outbox

_READS_AT_ONCE = 64
_READS_A_TURN = 8
"""Of what has come in, how much is read before others of the event loop have their turn."""

_BUFFERS_AT_ONCE = 512
"""Under IOV_MAX, 1,024 on Linux and macOS."""


M = TypeVar("M")


class Channel(Generic[M]):
    """Call `on_message` for each message, and `on_closed` once: with why, or None where the child's end was closed.

    Reading is done by hand rather than by an asyncio transport because a deadline must first hear what the child has
    already said.
    """

    def __init__(
        self,
        end: socket.socket,
        decode: Callable[[memoryview], M],
        on_message: Callable[[M], None],
        on_read: Callable[[], None],
        on_closed: Callable[[str | None], None],
        outbox: Outbox | None = None,
    ) -> None:
        """`outbox` holds what the child has said and may not have sent."""
        end.setblocking(False)
        self._end = end
        self._on_message = on_message
        self._on_read = on_read
        self._on_closed = on_closed
        self._frames = FrameReader(decode)
        self._outbox = outbox
        self._heard = 0
        """Bytes of what the child said that were heard."""
        self._ahead = 0
        """How many of them were read in the outbox and are still to be received."""
        self._said_before = 0
        """What the outbox had come to at the last look."""
        self._unsent: deque[memoryview] = deque()
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end, self._read_on)

    def send(self, buffers: Sequence[bytes]) -> None:
        """Send, now as far as the child takes it, the rest as it does. The buffers are not copied."""
        if not self._is_open:
            return
        writing = bool(self._unsent)
        self._unsent.extend(memoryview(buffer) for buffer in buffers if buffer)
        if not writing:
            self._write()

    def drain(self) -> None:
        """Hear what the child has said so far."""
        self._read_on(_READS_AT_ONCE)

    def look(self) -> bool:
        """Hear what the child has said and not sent since the last look; False if it goes on saying something.

        What has been there for a while is all there: a child's writes need not be seen in their order at once.
        """
        self._read_on(_READS_AT_ONCE)
        if self._outbox is None or not self._is_open:
            return True
        said = self._outbox.said
        is_settled = said == self._said_before
        self._said_before = said
        if is_settled:
            self._hear_unsent(self._outbox, said)
            self._on_read()
        return is_settled

    def _read_on(self, reads: int = _READS_A_TURN) -> None:
        for _ in range(reads):
            if not self._is_open or not self._read():
                break
        self._on_read()

    def close(self) -> None:
        """Close this end; the child exits. `on_closed` is not called any more."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._end)
            self._loop.remove_writer(self._end)
            self._unsent.clear()
            self._end.close()
            if self._outbox is not None:
                self._outbox.close()

    def _read(self) -> bool:
        space = self._frames.space
        try:
            size = len(self._end.recv(self._ahead)) if self._ahead else self._end.recv_into(space)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            size = 0
        if not size:
            if self._outbox is not None:
                self._hear_unsent(self._outbox, self._outbox.said)
            if self._is_open:
                self._closed(None)
            return False
        if self._ahead:
            self._ahead -= size
            return True
        self._heard += size
        return self._hear(self._frames.received(size)) and size == len(space)

    def _hear(self, messages: Iterator[M]) -> bool:
        try:
            for message in messages:
                self._on_message(message)
        except BadFrame as error:
            self._closed(str(error))
            return False
        return True

    def _hear_unsent(self, outbox: Outbox, said: int) -> None:
        size = said - self._heard
        if size <= 0:
            return
        data = outbox.read(self._heard, said)
        if outbox.said - self._heard > OUTBOX_BYTES:
            return  # it was sent, and others were written over it, while it was read
        self._heard += size
        self._ahead += size
        self._hear(self._frames.heard(data))

    def _write(self) -> None:
        while self._unsent:
            buffers = [self._unsent[index] for index in range(min(len(self._unsent), _BUFFERS_AT_ONCE))]
            try:
                sent = self._end.sendmsg(buffers)
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._end, self._write)
                return
            except OSError:
                self._unsent.clear()  # the child is gone, as reading will show, when all it said has been heard
                break
            while sent:
                first = self._unsent.popleft()
                if sent < len(first):
                    self._unsent.appendleft(first[sent:])
                    break
                sent -= len(first)
        self._loop.remove_writer(self._end)

    def _closed(self, why: str | None) -> None:
        self.close()
        self._on_closed(why)
