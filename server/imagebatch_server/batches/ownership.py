"""Running every batch that this server owns, whatever it was told of them."""

from __future__ import annotations

import asyncio

import structlog

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.ports import BatchStore
from imagebatch_server.batches.scheduler import Scheduler

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 15.0


class Ownership:
    """Takes over at start what an earlier server left, and afterwards looks for batches that nobody runs: a submit may
    be committed although the store's answer was lost, and its caller may never ask again.
    """

    def __init__(self, batches: BatchStore, scheduler: Scheduler, owner: str, *, every_s: float = LOOK_EVERY_S) -> None:
        self._batches = batches
        self._scheduler = scheduler
        self._owner = owner
        self._every_s = every_s

    async def take_over(self) -> None:
        """Run what an earlier server left, and give up what it had staged. Raises StoreUnavailable."""
        await self._batches.discard_staged(self._owner)
        for batch in await self._batches.take_over(self._owner):
            log.info("batch resumed", batch_id=batch.batch_id, items=batch.total_items, done=batch.processed_items)
            self._scheduler.add(batch)

    async def run(self) -> None:
        """Look for batches that nobody runs, until cancelled."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                for batch in await self._batches.owned(self._owner):
                    self._scheduler.adopt(batch)
            except StoreUnavailable as error:
                log.warning("looking after batches waits for the store", why=str(error))
