"""Telling receivers that batches have ended: at least once, over a day, whichever server lives.

The transaction that ends a batch leaves a notification. Any server takes it: the one that recorded the end at once,
the others when its attempt should long have been over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from imagebatch.v1.enums import NotificationState
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.model import Batch, ItemResult, Notification, Outcome
from imagebatch_server.batches.notifications import progress_after
from imagebatch_server.batches.ports.notifications import NotificationStore, Receivers

log = structlog.get_logger(__name__)

ATTEMPT_TAKES = timedelta(seconds=20)
"""More than the longest attempt: what was begun before that and is not settled was lost with its server."""

LOOK_EVERY_S = 5.0
AT_ONCE = 32
A_HOST_AT_ONCE = 4
"""A receiver that hangs must leave room to the others."""


class Notifier:
    """A loop that posts what is due."""

    name = "notifier"

    def __init__(self, store: NotificationStore, receivers: Receivers, now: Callable[[], datetime]) -> None:
        self._store = store
        self._receivers = receivers
        self._now = now
        self._wake = asyncio.Event()
        self._attempts: dict[asyncio.Task[None], str] = {}
        """Under way, with their hosts."""

    def committed(self, batch: Batch, _outcomes: Sequence[Outcome], _results: Sequence[ItemResult] | None) -> None:
        """Look at once when a batch ended here that somebody is to be told of."""
        if batch.options.notify_url is not None and lifecycle.is_terminal(batch.status):
            self._wake.set()

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Nothing was written, and nothing is to be told."""

    async def step(self) -> None:
        """Begin what is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._wake.wait()
        self._wake.clear()
        while len(self._attempts) < AT_ONCE:
            hosts = Counter(self._attempts.values())
            busy = [host for host, attempts in hosts.items() if attempts >= A_HOST_AT_ONCE]
            now = self._now()
            claimed = await self._store.claim(now, now + ATTEMPT_TAKES, busy, A_HOST_AT_ONCE)
            if not claimed:
                return
            for notification in claimed:
                task = asyncio.create_task(self._attempt(notification), name=f"notify {notification.batch_id}")
                self._attempts[task] = notification.host
                task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Give up what is under way; it is begun anew, here or elsewhere."""
        attempts = list(self._attempts)
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._attempts[task]
        self._wake.set()  # there is room

    async def _attempt(self, notification: Notification) -> None:
        answer = await self._receivers.post(notification)
        progress = progress_after(notification.attempts, answer, self._now())
        told = {"batch_id": notification.batch_id, "host": notification.host, "status": answer.status}
        if progress.state is NotificationState.DELIVERED:
            log.info("notification.delivered", **told, attempts=notification.attempts)
        elif progress.state is NotificationState.FAILED:
            log.error("notification.given_up", **told, attempts=notification.attempts, why=answer.problem)
        else:
            log.warning("notification.refused", **told, attempts=notification.attempts, why=answer.problem)
        try:
            await self._store.settle(notification, progress)
        except StoreUnavailable as error:
            log.warning("notification.unsettled", **told, why=str(error))  # it is told again, with the same webhook-id
