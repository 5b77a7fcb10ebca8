"""The end of a process in which something can't be closed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

SAYING_S = 0.5
"""Whoever reads the log may be what hangs; it is not waited for any longer."""


class LastResort:
    """Ends the process `after_s` after `begin`. What is durable stays so: it is no worse than a kill.

    Its threads run from the start: where memory is short, none could be started when they are needed.
    """

    def __init__(self, after_s: float) -> None:
        self.after_s = after_s
        self._begun = threading.Event()
        self._then(0.0, _say)
        self._then(SAYING_S, lambda: os._exit(0))

    def begin(self) -> None:
        """Let the time run."""
        self._begun.set()

    def _then(self, later_s: float, act: Callable[[], None]) -> None:
        def wait() -> None:
            self._begun.wait()
            time.sleep(self.after_s + later_s)
            act()

        threading.Thread(target=wait, name="last-resort", daemon=True).start()


def _say() -> None:
    threads = [thread.name for thread in threading.enumerate() if not thread.daemon]
    log.error("server.stop_forced", threads=threads)
