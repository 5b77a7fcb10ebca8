"""What those who bring images into memory report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import Dispatch
from imagebatch_server.executors.attempts.attempt import Attempt

OnFetch: TypeAlias = Callable[[Dispatch, ItemErrorCode | None, float, int], None]
"""Hears how a fetch ended: the error's code, if it failed, the time it took (seconds) and the image's bytes."""


class SupplyEvents(Protocol):
    """What becomes of attempts that wait for their image."""

    def arrived(self, attempt: Attempt, data: bytes) -> None:
        """Its image is here."""

    def not_got(self, attempt: Attempt, error: ItemError) -> None:
        """Its image can't be got."""
