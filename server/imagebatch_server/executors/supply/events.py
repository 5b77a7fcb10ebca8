"""What those who bring images into memory report."""

from __future__ import annotations

from typing import Protocol

from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.attempts.attempt import Attempt


class SupplyEvents(Protocol):
    """What becomes of attempts that wait for their image."""

    def arrived(self, attempt: Attempt, data: bytes) -> None:
        """Its image is here."""

    def not_got(self, attempt: Attempt, error: ItemError) -> None:
        """Its image can't be got."""
