"""Why a command is still waiting, on standard error."""

from __future__ import annotations

import logging

from imagebatch_client.cli.terminal import note
from imagebatch_client.texts import one_line


class Waits(logging.Handler):
    """Notes what the library logs of calls that it repeats; uploads side by side fail alike, which is told once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = one_line(record.getMessage())
        if text not in self._told:
            self._told.add(text)
            note(f"imagebatch: {text}")
