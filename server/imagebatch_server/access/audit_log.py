"""The audit log: one JSON line for each call that changes something, in a file of its own."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from imagebatch_server.batches.errors import CannotStart, StoreUnavailable

log = structlog.get_logger(__name__)

MAX_WAITING = 2_000
"""Lines that wait for a disk that is full or slow; beyond them nothing may be changed."""
TOGETHER = 500
TRIED_AGAIN_S = 1.0


class AuditLog:
    """Append lines to a file, from a thread of its own: a call never waits for them.

    A line that can't be written is tried again until it is. While too many wait, what would need another one is refused
    beforehand, so that nothing is changed that no line tells of. A file that was moved away, as logrotate does, is made
    anew.
    """

    def __init__(self, path: Path, on_lost: Callable[[int], None]) -> None:
        """Open the file. `on_lost` is told how many lines were given up. Raises CannotStart."""
        self._path = path
        self._on_lost = on_lost
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        self._is_failing = False
        self._closing = threading.Event()
        try:
            self._file = self._open()
        except OSError as error:
            raise CannotStart(f"--audit-log: {path} can't be written: {error.strerror}") from error
        self._thread = threading.Thread(target=self._write_all, name="audit", daemon=True)
        self._thread.start()

    def ensure_room(self) -> None:
        """Let something be changed that a line will tell of. Raises StoreUnavailable."""
        if self._is_full():
            raise StoreUnavailable("its audit log can't be written, so nothing may be changed", may_pass=True)

    def write(self, entry: Mapping[str, object], *, must_be_kept: bool) -> None:
        """Have an entry written soon; one that need not be kept is lost while the others have no room."""
        if self._is_full() and not must_be_kept:
            self._on_lost(1)
            return
        self._lines.put(json.dumps(entry, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Write what waits, trying once, and close the file."""
        self._closing.set()
        self._lines.put(None)
        self._thread.join()
        os.close(self._file)

    def _is_full(self) -> bool:
        return self._lines.unfinished_tasks >= MAX_WAITING

    def _write_all(self) -> None:
        is_open = True
        while is_open:
            lines = [self._lines.get()]
            while len(lines) < TOGETHER and not self._lines.empty():
                lines.append(self._lines.get())
            is_open = None not in lines
            self._append(b"".join(line for line in lines if line is not None))
            for _ in lines:
                self._lines.task_done()

    def _append(self, text: bytes) -> None:
        written = 0
        while written < len(text):
            try:
                if self._follow():
                    written = text.rfind(b"\n", 0, written) + 1  # a line stands in one file
                written += os.write(self._file, text[written:])
            except OSError as error:
                if not self._is_failing:
                    log.error("audit.write_failed", file=str(self._path), why=error.strerror)  # noqa: TRY400 - why says it
                self._is_failing = True
                if self._closing.wait(TRIED_AGAIN_S):
                    self._on_lost(text.count(b"\n", written))
                    return
        if self._is_failing:
            log.info("audit.written_again", file=str(self._path))
        self._is_failing = False

    def _follow(self) -> bool:
        """Go on in the file that has the path now; answers whether it is another one."""
        try:
            found = self._path.stat().st_ino == os.fstat(self._file).st_ino
        except FileNotFoundError:
            found = False
        if not found:
            before, self._file = self._file, self._open()
            os.close(before)
        return not found

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
