"""The child process: `python -m imagebatch_server.executors.child CHANNEL_FD PARENT_PID`.

A serial child reads chunks, runs their items one by one, and says what came of each at once, before it touches the
next: whatever happens to this process then happens to one item, or to the items of a chunk that is run at once.
`concurrent_child` is the other kind.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
import time

from imagebatch_server.executors import confine
from imagebatch_server.executors.messages import (
    EXIT_FULL,
    EXIT_OUT_OF_MEMORY,
    Chunk,
    Loaded,
    Loading,
    Message,
    Ready,
    Start,
    Started,
    Stream,
    Up,
    frame,
    read_chunk,
    read_start,
)

_STREAM_BYTES = 256 * 1024


def main(channel_fd: int, parent_pid: int) -> None:
    """Serve until the worker closes its end."""
    confine.bind_to_parent(parent_pid)
    os.set_inheritable(channel_fd, False)
    channel = socket.socket(fileno=channel_fd)
    stream = channel.makefile("rb", buffering=_STREAM_BYTES)
    start = read_start(stream)
    if start is None:
        return
    confine.limit(start.memory_bytes)
    try:
        if start.is_concurrent:
            from imagebatch_server.executors.concurrent_child import serve

            serve(channel, start)
        else:
            Child(channel, start).serve(stream)
    except (BrokenPipeError, ConnectionResetError):
        return  # the worker is gone, and with it whoever wanted an answer
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)  # at once: cleaning up takes memory too


class Child:
    """Answers a worker."""

    def __init__(self, channel: socket.socket, start: Start) -> None:
        # Imported under the limit, and once signals are ignored, because it takes a while.
        from imagebatch_server.executors.runner import Runner

        self._channel = channel
        self._warm = start.warm
        self._memory = confine.MemoryWatch(start.memory_bytes)
        self._runner = Runner(start.operations, start.max_image_pixels, start.configuration)

    def serve(self, stream: Stream) -> None:
        """Load what is to be warm, then run chunks as long as they come. Raises MemoryError if an item takes it all."""
        self._say(Up())
        for name in self._warm:
            self._load(name)
        gc.freeze()  # modules and models stay for good: no collection need walk them again
        self._say(Ready())
        while (received := read_chunk(stream)) is not None:
            chunk, images = received
            if self._load(chunk.operation):
                self._run(chunk, images)
            if self._memory.is_full():
                os._exit(EXIT_FULL)

    def _load(self, name: str) -> bool:
        if self._runner.has_loaded(name):
            return True
        self._say(Loading(name))
        began = time.perf_counter()
        failed = self._runner.load(name)
        self._say(failed or Loaded(time.perf_counter() - began))
        return failed is None

    def _run(self, chunk: Chunk, images: list[bytes]) -> None:
        if self._runner.takes_chunks(chunk.operation):
            self._say(Started(len(chunk.tasks)))
            for done in self._runner.chunk(chunk.operation, chunk.parameters, chunk.tasks, images):
                self._say(done)
            return
        run = self._runner.tasks(chunk.operation, chunk.parameters)
        images.reverse()  # so that each can be let go of when it is done
        self._say(Started(1))
        for task in chunk.tasks:
            done = run(task, images.pop())
            done.next_started = bool(images)
            self._say(done)

    def _say(self, message: Message) -> None:
        self._channel.sendall(frame(message))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
