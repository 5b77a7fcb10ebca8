"""What every child does before it serves, and how it ends."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TypeVar

from imagebatch_server.executors.child import confinement
from imagebatch_server.executors.protocol.cluster import StartDriver
from imagebatch_server.executors.protocol.fetching import StartFetching
from imagebatch_server.executors.protocol.frames import Stream, read_start
from imagebatch_server.executors.protocol.messages import EXIT_OUT_OF_MEMORY, Start

_STREAM_BYTES = 256 * 1024

S = TypeVar("S", Start | StartFetching, StartDriver)


def serve(
    channel_fd: int, parent_pid: int, decode: Callable[[bytes], S], begin: Callable[[S, socket.socket, Stream], None]
) -> None:
    """Read the first message, which says what the child is for, and `begin` under the limit that it names.

    `begin` imports what it needs, because that takes a while and memory, and serves until the server closes its end.
    """
    confinement.bind_to_parent(parent_pid)
    os.set_inheritable(channel_fd, False)
    channel = socket.socket(fileno=channel_fd)
    stream = channel.makefile("rb", buffering=_STREAM_BYTES)
    start = read_start(stream, decode)
    if start is None:
        return
    confinement.limit(start.memory_bytes)
    try:
        begin(start, channel, stream)
    except (BrokenPipeError, ConnectionResetError):
        return  # the server is gone, and with it whoever wanted an answer
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)  # at once: cleaning up takes memory too
