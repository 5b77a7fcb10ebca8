"""The child that works through its chunks item by item, or chunk by chunk where an operation takes several at once.

It says what came of each item before it touches the next: whatever happens to this process then happens to one item, or
to the items of a chunk that is run at once. What quick items come to is said into the outbox, and sent a moment later.
"""

from __future__ import annotations

import gc
import os
import socket
import time

from imagebatch_server.executors.child import confinement
from imagebatch_server.executors.child.runner import Runner
from imagebatch_server.executors.protocol.frames import Stream, frame, read_chunk
from imagebatch_server.executors.protocol.messages import (
    EXIT_FULL,
    Chunk,
    Done,
    Loaded,
    Loading,
    Message,
    Ready,
    Start,
    Started,
    Up,
)
from imagebatch_server.executors.protocol.outbox import OUTBOX_BYTES, Outbox

_HOLD_S = 0.002
"""The work whose outcomes are sent together."""


class SerialChild:
    """Answer a worker."""

    def __init__(self, channel: socket.socket, start: Start) -> None:
        self._channel = channel
        self._outbox = None if start.outbox_fd is None else Outbox(start.outbox_fd)
        self._sent_bytes = 0
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._unsent_s = 0.0
        if start.outbox_fd is not None:
            os.close(start.outbox_fd)
        self._warm = start.warm
        self._memory = confinement.MemoryWatch(start.memory_bytes)
        self._runner = Runner(
            start.operations, start.max_image_pixels, start.configuration, makes_previews=start.makes_previews
        )

    def serve(self, stream: Stream) -> None:
        """Load what is to be warm, then run chunks as long as they come. Raises MemoryError if an item takes it all."""
        self._send(Up())
        for name in self._warm:
            self._load(name)
        gc.freeze()  # modules and models stay for good: no collection need walk them again
        self._send(Ready())
        while (received := read_chunk(stream)) is not None:
            chunk, images = received
            if self._load(chunk.operation):
                self._run(chunk, images)
            if self._memory.is_full():
                os._exit(EXIT_FULL)

    def _load(self, name: str) -> bool:
        if self._runner.has_loaded(name):
            return True
        self._send(Loading(name))
        began = time.perf_counter()
        failed = self._runner.load(name)
        self._send(failed or Loaded(time.perf_counter() - began))
        return failed is None

    def _run(self, chunk: Chunk, images: list[bytes]) -> None:
        if self._runner.takes_chunks(chunk.operation):
            self._send(Started(len(chunk.tasks)))
            dones = self._runner.chunk(chunk.operation, chunk.parameters, chunk.tasks, images)
            for done in dones:
                self._say(done, is_last=done is dones[-1])
            return
        run = self._runner.tasks(chunk.operation, chunk.parameters)
        images.reverse()  # so that each can be let go of when it is done
        self._send(Started(1))
        for task in chunk.tasks:
            done = run(task, images.pop())
            done.next_started = bool(images)
            self._say(done, is_last=not images)

    def _say(self, done: Done, *, is_last: bool) -> None:
        data = frame(done)
        self._unsent_s += done.run_s
        self._unsent_bytes += len(data)
        if is_last or self._outbox is None or self._unsent_s >= _HOLD_S or self._unsent_bytes > OUTBOX_BYTES:
            self._send_all(data)
        else:
            self._outbox.write(data, self._sent_bytes + self._unsent_bytes - len(data))
            self._unsent.append(data)

    def _send(self, message: Message) -> None:
        self._send_all(frame(message))

    def _send_all(self, data: bytes) -> None:
        """Send what is unsent, and this."""
        self._unsent.append(data)
        whole = b"".join(self._unsent)
        self._unsent.clear()
        self._unsent_bytes, self._unsent_s = 0, 0.0
        self._channel.sendall(whole)
        self._sent_bytes += len(whole)
