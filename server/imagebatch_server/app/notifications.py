"""What notifies receivers of batches that have ended, if the operator has made secrets to sign with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from imagebatch_server.access.watched_files import WatchedFiles
from imagebatch_server.app.execution import certificates
from imagebatch_server.app.settings import Settings
from imagebatch_server.batches.notifier import Notifier
from imagebatch_server.batches.ports.notifications import NotificationStore, Receivers
from imagebatch_server.store.database import Database
from imagebatch_server.store.notifications import SqlNotifications
from imagebatch_server.webhooks import secrets_file
from imagebatch_server.webhooks.receivers import HttpReceivers


@dataclass(frozen=True, slots=True)
class Notifications:
    """A server that notifies nobody still answers how far others did."""

    store: NotificationStore
    receivers: Receivers | None = None
    notifiers: Sequence[Notifier] = ()
    followed: Sequence[WatchedFiles[Any]] = ()


@asynccontextmanager
async def open_notifications(
    settings: Settings, database: Database, now: Callable[[], datetime]
) -> AsyncIterator[Notifications]:
    """Make what notifies, while the block runs. Raises CannotStart for a file of secrets that is none."""
    store = SqlNotifications(database)
    path = settings.webhook_secrets_file
    if path is None:
        yield Notifications(store)
        return
    secrets = WatchedFiles([path], lambda: secrets_file.read(path))
    async with HttpReceivers(
        lambda: secrets.value,
        allowed_networks=settings.notify_allowed_networks,
        ca_pem=certificates(settings.fetch_ca_file),
        proxy=settings.fetch_proxy or "",
        now=now,
    ) as receivers:
        notifier = Notifier(store, receivers, now)
        try:
            yield Notifications(store, receivers, [notifier], [secrets])
        finally:
            await notifier.close()
