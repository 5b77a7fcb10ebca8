"""A child process: `python -m imagebatch_server.executors.child CHANNEL_FD PARENT_PID ROLE`."""

from __future__ import annotations

import os
import socket
import sys

from imagebatch_server.executors.child import confinement
from imagebatch_server.executors.protocol.cluster import StartDriver
from imagebatch_server.executors.protocol.fetching import StartFetching
from imagebatch_server.executors.protocol.frames import read_start
from imagebatch_server.executors.protocol.messages import EXIT_OUT_OF_MEMORY

_STREAM_BYTES = 256 * 1024


def main(channel_fd: int, parent_pid: int) -> None:
    """Serve until the server closes its end. What the child is for its first message says; ROLE is for people."""
    confinement.bind_to_parent(parent_pid)
    os.set_inheritable(channel_fd, False)
    channel = socket.socket(fileno=channel_fd)
    stream = channel.makefile("rb", buffering=_STREAM_BYTES)
    start = read_start(stream)
    if start is None:
        return
    confinement.limit(start.memory_bytes)
    try:
        # Imported under the limit, and once signals are ignored, because it takes a while.
        if isinstance(start, StartFetching):
            from imagebatch_server.executors.child import fetching

            fetching.serve(channel, start)
        elif isinstance(start, StartDriver):
            from imagebatch_server.executors.ray import driver

            driver.serve(channel, start)
        elif start.is_concurrent:
            from imagebatch_server.executors.child import concurrent

            concurrent.serve(channel, start)
        else:
            from imagebatch_server.executors.child.serial import SerialChild

            SerialChild(channel, start).serve(stream)
    except (BrokenPipeError, ConnectionResetError):
        return  # the server is gone, and with it whoever wanted an answer
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)  # at once: cleaning up takes memory too


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
