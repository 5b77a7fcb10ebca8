"""The driver's process: `python -m imagebatch_server.executors.ray CHANNEL_FD PARENT_PID ROLE`; ROLE is for people."""

from __future__ import annotations

import socket
import sys

from imagebatch_server.executors.child.serving import serve
from imagebatch_server.executors.protocol.cluster import StartDriver
from imagebatch_server.executors.protocol.frames import Stream, decode_start_driver


def _begin(start: StartDriver, channel: socket.socket, _stream: Stream) -> None:
    from imagebatch_server.executors.ray import driver

    driver.serve(channel, start)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), decode_start_driver, _begin)
