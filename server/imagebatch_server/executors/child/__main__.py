"""A child process: `python -m imagebatch_server.executors.child CHANNEL_FD PARENT_PID ROLE`; ROLE is for people."""

from __future__ import annotations

import socket
import sys

from imagebatch_server.executors.child.serving import serve
from imagebatch_server.executors.protocol.fetching import StartFetching
from imagebatch_server.executors.protocol.frames import Stream, decode_start
from imagebatch_server.executors.protocol.messages import Start


def _begin(start: Start | StartFetching, channel: socket.socket, stream: Stream) -> None:
    if isinstance(start, StartFetching):
        from imagebatch_server.executors.child import fetching

        fetching.serve(channel, start)
    elif start.is_concurrent:
        from imagebatch_server.executors.child import concurrent

        concurrent.serve(channel, start)
    else:
        from imagebatch_server.executors.child.serial import SerialChild

        SerialChild(channel, start).serve(stream)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), decode_start, _begin)
