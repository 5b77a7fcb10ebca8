"""Batches that exist: reading, cancelling, pausing, updating, retrying and deleting them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime

from msgspec import structs

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.coalescing import CoalescedReads
from imagebatch_server.batches.model import (
    Batch,
    BatchChange,
    BatchFilter,
    ClusterPosition,
    FailureCluster,
    ItemFilter,
    ItemResult,
    NotificationProgress,
    RetryRequest,
    Waiting,
)
from imagebatch_server.batches.ports.batches import BatchStore, OutcomeStore
from imagebatch_server.batches.ports.notifications import NotificationStore
from imagebatch_server.batches.ports.servers import News, NewsKind

SEARCHES_AT_ONCE = 2
"""Pages that look for a text: they read whole batches, and must leave the store to others."""


class Batches:
    """What can be asked of submitted batches, except watching them."""

    def __init__(
        self,
        batches: BatchStore,
        outcomes: OutcomeStore,
        news: News,
        processing: Callable[[str], frozenset[int]],
        notifications: NotificationStore,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        waiting: Callable[[Batch], Waiting | None] = lambda _batch: None,
    ) -> None:
        """Take `processing`, which answers the indexes of a batch's items that workers are busy with.

        `waiting` tells why items of a batch wait.
        """
        self._batches = batches
        self._statuses: CoalescedReads[tuple[str, str], Batch] = CoalescedReads(lambda key: batches.get(*key))
        self._outcomes = outcomes
        self._news = news
        self._processing = processing
        self._notifications = notifications
        self._searches = asyncio.Semaphore(SEARCHES_AT_ONCE)
        self._now = now
        self.waiting = waiting

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Read one batch; callers of one moment share a read. Raises BatchNotFound."""
        return await self._statuses.get((tenant, batch_id))

    async def notification(self, batch: Batch) -> NotificationProgress | None:
        """Read how far somebody was told of the batch's end; None if nobody is to be. Raises StoreUnavailable."""
        if batch.options.notify_url is None or not lifecycle.is_terminal(batch.status):
            return None
        return await self._notifications.progress(batch.tenant, batch.batch_id)

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        """Read batches, newest first."""
        return await self._batches.list(tenant, match, limit, before_batch_id)

    async def page(
        self, tenant: str, batch_id: str, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        """Read a page of items, with the batch and the number of items that match. Raises BatchNotFound."""
        async with self._searches if match.text is not None else nullcontext():
            batch, total, results = await self._outcomes.page(tenant, batch_id, match, offset, limit)
        busy = self._processing(batch_id)
        if busy:
            results = [_marked(result, busy) for result in results]
        return batch, total, results

    async def failure_clusters(
        self, tenant: str, batch_id: str, limit: int, after: ClusterPosition | None
    ) -> Sequence[FailureCluster]:
        """Read what failed items have in common, the largest clusters first. Raises BatchNotFound."""
        return await self._batches.failure_clusters(tenant, batch_id, limit, after)

    async def cancel(self, tenant: str, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled; a terminal one is answered as it is. Raises BatchNotFound."""
        batch = await self._batches.request_cancel(tenant, batch_id, self._now())
        if batch.cancel_requested_at is not None:
            self._news.publish(NewsKind.CANCEL_REQUESTED, tenant, batch_id)
        return batch

    async def pause(self, tenant: str, batch_id: str) -> Batch:
        """Have nothing more begun of a batch until it is resumed. Raises BatchNotFound, BatchTerminal."""
        batch = await self._batches.pause(tenant, batch_id, self._now())
        self._news.publish(NewsKind.PAUSED, tenant, batch_id)
        return batch

    async def resume(self, tenant: str, batch_id: str) -> Batch:
        """Let a paused batch go on. Raises BatchNotFound, BatchTerminal."""
        batch = await self._batches.resume(tenant, batch_id)
        self._news.publish(NewsKind.RESUMED, tenant, batch_id)
        return batch

    async def update(self, tenant: str, batch_id: str, change: BatchChange) -> Batch:
        """Change a running batch's options. Raises BatchNotFound, BatchTerminal."""
        batch = await self._batches.update(tenant, batch_id, change)
        self._news.publish(NewsKind.UPDATED, tenant, batch_id)
        return batch

    async def retry(self, tenant: str, batch_id: str, request: RetryRequest) -> Batch:
        """Run failed items again, the chosen ones or all; a running batch is answered as it is.

        Raises BatchNotFound, BatchNotRetryable, LimitExceeded, RequestIdReused.
        """
        batch, reopened = await self._batches.retry(tenant, batch_id, request, self._now())
        if reopened:
            self._news.publish(NewsKind.REOPENED, tenant, batch_id)
        return batch

    async def delete(self, tenant: str, batch_id: str) -> None:
        """Hide a terminal batch at once, and have its rows removed. Raises BatchNotFound, BatchNotTerminal."""
        await self._batches.hide(tenant, batch_id)
        self._news.publish(NewsKind.DELETED, tenant, batch_id)


def _marked(result: ItemResult, busy: frozenset[int]) -> ItemResult:
    if result.outcome is None and result.item.item_index in busy:
        return structs.replace(result, is_processing=True)
    return result
