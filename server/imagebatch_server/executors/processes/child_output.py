"""What a child prints goes to the server's log, line by line."""

from __future__ import annotations

import asyncio
import os
from typing import IO

import structlog

log = structlog.get_logger(__name__)

_READ_BYTES = 64 * 1024
_LONGEST_LINE_BYTES = 2_000


class ChildOutput:
    """Read a child's pipe as it fills, so that a child that prints a lot is never held up by it."""

    def __init__(self, pipe: IO[bytes], pid: int) -> None:
        self._pipe = pipe
        self._pid = pid
        self._rest = b""
        os.set_blocking(pipe.fileno(), False)
        asyncio.get_running_loop().add_reader(pipe, self._read)

    def close(self) -> None:
        """Log what is left, and close the pipe."""
        while self._read():
            pass
        self._log([self._rest])
        asyncio.get_running_loop().remove_reader(self._pipe)
        self._pipe.close()

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return False
        if not data:  # its end was closed, which a reader would be told again and again
            asyncio.get_running_loop().remove_reader(self._pipe)
            return False
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LONGEST_LINE_BYTES]
        self._log(lines)
        return True

    def _log(self, lines: list[bytes]) -> None:
        for line in lines:
            if line.strip():
                text = line[:_LONGEST_LINE_BYTES].decode(errors="replace").rstrip()
                log.info("worker.printed", worker_pid=self._pid, line=text)
