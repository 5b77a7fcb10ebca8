"""What the core needs in order to tell receivers that batches have ended."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

from imagebatch_server.batches.model import Notification, NotificationProgress, ReceiverAnswer


class NotificationStore(Protocol):
    """Notifications that the transactions which ended their batches left, until their batches are removed."""

    async def claim(
        self, now: datetime, until: datetime, busy_hosts: Collection[str], limit: int
    ) -> Sequence[Notification]:
        """Begin an attempt at those that are due, the oldest first, none for these hosts.

        No other server begins one before `until`. Raises StoreUnavailable.
        """

    async def settle(self, notification: Notification, progress: NotificationProgress) -> None:
        """Write what an attempt came to, unless another was begun meanwhile. Raises StoreUnavailable."""

    async def progress(self, tenant: str, batch_id: str) -> NotificationProgress | None:
        """Read how far the last end of a batch was told; None if there is nothing to tell. Raises StoreUnavailable."""


class Receivers(Protocol):
    """Others' HTTP servers, which strangers chose."""

    def problem(self, tenant: str, notify_url: str) -> str | None:
        """Say what keeps a tenant from being notified there, to be read after the field's name."""

    async def post(self, notification: Notification) -> ReceiverAnswer:
        """Send it once; never raises for what the receiver does, or does not do."""
