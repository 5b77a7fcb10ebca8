"""Batches that exist: reading, cancelling, retrying and deleting them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from msgspec import structs

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.model import Batch, BatchFilter, ItemFilter, ItemResult
from imagebatch_server.batches.ports import BatchStore, OutcomeStore
from imagebatch_server.batches.scheduler import Scheduler
from imagebatch_server.batches.watcher import Watchers


class Batches:
    """What can be asked of submitted batches, except watching them."""

    def __init__(
        self,
        batches: BatchStore,
        outcomes: OutcomeStore,
        scheduler: Scheduler,
        watchers: Watchers,
        janitor: Janitor,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._batches = batches
        self._outcomes = outcomes
        self._scheduler = scheduler
        self._watchers = watchers
        self._janitor = janitor
        self._now = now

    async def get(self, tenant: str, batch_id: str) -> Batch:
        """Read one batch. Raises BatchNotFound."""
        return await self._batches.get(tenant, batch_id)

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        """Read batches, newest first."""
        return await self._batches.list(tenant, match, limit, before_batch_id)

    async def page(
        self, tenant: str, batch_id: str, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        """Read a page of items, with the batch and the number of items that match. Raises BatchNotFound."""
        batch, total, results = await self._outcomes.page(tenant, batch_id, match, offset, limit)
        busy = self._scheduler.processing(batch_id)
        if busy:
            results = [_marked(result, busy) for result in results]
        return batch, total, results

    async def cancel(self, tenant: str, batch_id: str) -> Batch:
        """Ask for a batch to be cancelled; a terminal one is answered as it is. Raises BatchNotFound."""
        batch = await self._batches.request_cancel(tenant, batch_id, self._now())
        if batch.cancel_requested_at is not None:
            self._scheduler.cancel(batch)
        return batch

    async def retry(self, tenant: str, batch_id: str, error_codes: Sequence[ItemErrorCode]) -> Batch:
        """Run failed items again, those of the given codes or all; a running batch is answered as it is.

        Raises BatchNotFound, BatchNotRetryable, LimitExceeded.
        """
        batch, reopened = await self._batches.retry(tenant, batch_id, error_codes)
        if reopened:
            self._watchers.reopened(batch)
            self._scheduler.add(batch)
        return batch

    async def delete(self, tenant: str, batch_id: str) -> None:
        """Hide a terminal batch at once, and have its rows removed. Raises BatchNotFound, BatchNotTerminal."""
        await self._batches.hide(tenant, batch_id)
        self._watchers.deleted(batch_id)
        self._janitor.wake()


def _marked(result: ItemResult, busy: frozenset[int]) -> ItemResult:
    if result.status is BatchItemStatus.PENDING and result.item.item_index in busy:
        return structs.replace(result, status=BatchItemStatus.PROCESSING)
    return result
