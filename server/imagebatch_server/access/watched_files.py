"""Files that say who is trusted, read anew while the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog

from imagebatch_server.batches.errors import CannotStart

log = structlog.get_logger(__name__)

T = TypeVar("T")

LOOK_EVERY_S = 2.0
"""What is revoked or replaced counts from so much later on at the latest, and the time of reading it."""

_Signature = tuple[tuple[int, int, int], ...]


class WatchedFiles(Generic[T]):
    """What some files say together. Once they say it, files that are wrong or half written change nothing.

    `read` may raise OSError and ValueError, whose messages must hold no secret.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], T]) -> None:
        """Read them. Raises CannotStart."""
        self._paths = paths
        self._read = read
        self._told: _Signature | None = None
        try:
            self._signature = self._sign()
            self.value = read()
            """What they said when they were last right; any thread may look at it."""
        except (OSError, ValueError) as error:
            # What can't be found or opened names its file itself.
            of = "" if getattr(error, "filename", None) else f"{self._names()}: "
            raise CannotStart(f"{of}{_words(error)}") from error

    def look(self) -> None:
        """Read the files if they have changed. What is wrong is logged once and read again at each look."""
        signature: _Signature = ()
        try:
            signature = self._sign()
            if signature == self._signature:
                return
            value = self._read()
            if signature != self._sign():
                return  # they changed while they were read
        except (OSError, ValueError) as error:
            if signature != self._told:
                log.warning("access.files_refused", files=self._names(), why=_words(error))
                self._told = signature
            return
        self.value, self._signature, self._told = value, signature, None
        log.info("access.files_taken", files=self._names())

    def _sign(self) -> _Signature:
        statuses = [path.stat() for path in self._paths]
        return tuple((status.st_mtime_ns, status.st_size, status.st_ino) for status in statuses)

    def _names(self) -> str:
        return ", ".join(map(str, self._paths))


class FileWatch:
    """A loop that looks at all of them, off the event loop."""

    name = "access_files"

    def __init__(self, watched: Sequence[WatchedFiles[Any]]) -> None:
        self._watched = watched

    async def step(self) -> None:
        """Look, a moment later."""
        await asyncio.sleep(LOOK_EVERY_S)
        for files in self._watched:
            await asyncio.to_thread(files.look)


def _words(error: OSError | ValueError) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
