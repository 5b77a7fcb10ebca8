"""Clearing away: rows of deleted batches, batches past their retention time, objects that nothing refers to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.ports import BatchStore, BlobStore, ObjectRows
from imagebatch_server.batches.watcher import Watchers

log = structlog.get_logger(__name__)

ROWS_A_STEP = 1_000
OBJECTS_A_STEP = 200
UNREFERENCED_FOR = timedelta(days=1)
"""An object that nothing refers to is kept so long, for a batch that is still to be submitted."""


class Janitor:
    """Works in small steps, so that nobody waits for it, and tries again later whenever the store is away."""

    def __init__(
        self,
        batches: BatchStore,
        objects: ObjectRows,
        blobs: BlobStore,
        watchers: Watchers,
        *,
        retention: timedelta | None,
        every_s: float,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`retention` is how long a terminal batch is kept, None for ever; `every_s` the time between rounds."""
        self._batches = batches
        self._objects = objects
        self._blobs = blobs
        self._watchers = watchers
        self._retention = retention
        self._every_s = every_s
        self._now = now
        self._to_discard: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Begin a round soon: a batch was deleted."""
        self._wake.set()

    async def discard(self, tenant: str, batch_id: str) -> None:
        """Leave a batch that is still staged to be removed; if the store is away, by the rounds that follow."""
        try:
            await self._batches.discard(tenant, batch_id)
        except StoreUnavailable:
            self._to_discard.add((tenant, batch_id))

    async def run(self) -> None:
        """Clear away until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self.tidy()
            except StoreUnavailable as error:
                log.warning("clearing away waits for the store", why=str(error))
            except Exception:
                log.exception("clearing away failed; trying again later")
            try:
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def tidy(self) -> None:
        """One round. Raises StoreUnavailable."""
        for tenant, batch_id in list(self._to_discard):
            await self._batches.discard(tenant, batch_id)
            self._to_discard.remove((tenant, batch_id))
        await self._expire()
        while await self._batches.remove_hidden(ROWS_A_STEP):
            pass
        await self._sweep()

    async def _expire(self) -> None:
        if self._retention is None:
            return
        while expired := await self._batches.expire(self._now() - self._retention, ROWS_A_STEP):
            for _, batch_id in expired:
                self._watchers.deleted(batch_id)
            log.info("batches expired", batches=len(expired))

    async def _sweep(self) -> None:
        """Rows go before blobs: a row without its blob would promise what is not there."""
        before = self._now() - UNREFERENCED_FOR
        last_key = ""
        while keys := await self._objects.unreferenced(before, OBJECTS_A_STEP, last_key):
            removed = await self._objects.remove(keys)
            for key in removed:
                await self._blobs.delete(key)
            log.info("objects swept", objects=len(removed))
            last_key = keys[-1]
        async for key in self._blobs.written_before(before):
            if not await self._objects.exists(key):
                await self._blobs.delete(key)  # its submit or upload was never finished
