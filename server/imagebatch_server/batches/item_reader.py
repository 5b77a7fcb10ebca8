"""Read the items of running batches in the background. A store that is away is waited for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial

from imagebatch_server.batches import canary
from imagebatch_server.batches.model import Batch, Item
from imagebatch_server.batches.patience import patiently
from imagebatch_server.batches.ports.batches import BatchStore
from imagebatch_server.batches.running import Read, RunningBatch
from imagebatch_server.batches.tasks import Tasks

PAGE_ITEMS = 1_000
"""Items of one read where all that have no outcome are wanted."""


class ItemReader:
    """Bring items of a running batch to hand, unless it was closed or paused while they were read."""

    def __init__(self, store: BatchStore, on_read: Callable[[RunningBatch], None]) -> None:
        """`on_read` hears of each batch that was given items, or has no more."""
        self._store = store
        self._on_read = on_read
        self._tasks = Tasks()

    def read_ahead(self, running: RunningBatch) -> None:
        """Read the batch's next items before none is at hand, if a read is due."""
        read = running.begin_read()
        if read is not None:
            self._tasks.spawn(self._read_ahead(running, read))

    def bring_back(self, running: RunningBatch, item_index: int, era: int | None = None) -> None:
        """Read an item that was set aside again, and put it in front.

        `era` is the one in which it was set aside, where a pause may have come between.
        """
        self._tasks.spawn(self._bring_back(running, item_index, running.era if era is None else era))

    async def without_outcome(self, running: RunningBatch) -> AsyncGenerator[Sequence[Item], None]:
        """Read page by page what has no outcome and is not on its way to one.

        Each page is read once all outcomes that were handed over are recorded, so that what waits stays bounded.
        """
        batch, after_index = running.batch, -1
        while not running.ended:
            # Noted before the read: what is recorded while it is under way may still look pending in it.
            underway = running.underway()
            read = partial(self._store.pending_items, batch.tenant, batch.batch_id, after_index, PAGE_ITEMS)
            items = await patiently(read, "items")
            if not items or running.ended:
                return
            after_index = items[-1].item_index
            unknown = [item for item in items if item.item_index not in underway]
            if unknown:
                yield unknown
                await running.all_recorded()

    async def close(self) -> None:
        """Give up what is still being read."""
        await self._tasks.close()

    async def _read_ahead(self, running: RunningBatch, read: Read) -> None:
        items = await patiently(partial(self._read, running.batch, read), "items")
        if running.era == read.era:
            running.end_read(read, items)
            self._on_read(running)

    async def _read(self, batch: Batch, read: Read) -> Sequence[Item]:
        if read.is_canary:
            return await canary.pick(self._store, batch, read.limit)
        return await self._store.pending_items(batch.tenant, batch.batch_id, read.after_index, read.limit)

    async def _bring_back(self, running: RunningBatch, item_index: int, era: int) -> None:
        batch = running.batch
        if running.era != era:
            return
        items = await patiently(lambda: self._store.items(batch.tenant, batch.batch_id, [item_index]), "items")
        if running.era == era:
            running.bring_back(items)
            self._on_read(running)
