"""Running every batch that is this server's own, whatever it was told of them, and no other."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import structlog

from imagebatch_server.batches.claim import Claim
from imagebatch_server.batches.placement import batches_to_move, items_to_move, owner_for
from imagebatch_server.batches.ports.batches import BatchStore
from imagebatch_server.batches.ports.servers import News, NewsKind, Servers
from imagebatch_server.batches.scheduler import Scheduler

log = structlog.get_logger(__name__)

RECONCILE_EVERY_S = 15.0
"""How often every running batch is read whole, for what no news told."""

LOOK_EVERY_S = 0.5
"""How often it is looked, where there may be other servers, for batches that were left or given to this one."""

MOVE_EVERY_S = 3.0
"""Batches that were moved show in what servers tell of themselves within two renewals and a look."""


class Ownership:
    """Take over what dead servers left, look for batches of its own that nobody runs, and share with idle servers.

    A submit may be committed although the store's answer was lost, and its caller may never ask again.
    A batch whose operation this server lacks is left as it is, for a server that has it.
    """

    name = "ownership"

    def __init__(
        self,
        batches: BatchStore,
        scheduler: Scheduler,
        claim: Claim,
        servers: Servers,
        news: News,
        *,
        every_s: float | None = None,
    ) -> None:
        """Look `every_s`; absent: often, if there can be other servers."""
        self._batches = batches
        self._scheduler = scheduler
        self._claim = claim
        self._servers = servers
        self._news = news
        self._every_s = every_s or (RECONCILE_EVERY_S if servers.alone else LOOK_EVERY_S)
        self._term: int | None = None
        self._reconcile_at = 0.0
        self._move_at = 0.0
        self._handing_over = False
        self.taken_over: int = 0
        """Batches that this server has taken over, its own of an earlier start included."""
        self._left: set[str] = set()
        """Batches of operations that this server lacks, which was logged."""
        self._wake = asyncio.Event()
        news.subscribe(self._on_news)
        news.when_missed(self._reconcile_soon)

    async def step(self) -> None:
        """Look when it is time to. Raises StoreUnavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every_s):
                await self._wake.wait()
        self._wake.clear()
        await self.look()

    async def look(self) -> None:
        """Take over what nobody runs, and bring what runs here in line with what there is. Raises StoreUnavailable."""
        await self._servers.held()
        term = self._servers.term
        if self._servers.may_take_over and not self._handing_over:
            await self._take_over()
        if term != self._term or time.monotonic() >= self._reconcile_at:
            await self._reconcile()
        self._scheduler.compare(await self._batches.owned(), term)
        self._term = term
        if self._handing_over:
            self._hand_over_all()
        else:
            self._share()

    async def hand_over(self) -> None:
        """Give every batch to other servers, once what is in flight of it has ended; from now on, no more is taken."""
        self._handing_over = True
        if self._servers.others:
            await self._servers.drain()
            self._hand_over_all()

    async def _take_over(self) -> None:
        while taken := await self._batches.take_over(self._claim.operations):
            self.taken_over += len(taken)
            for batch in taken:
                log.info(
                    "ownership.batch_taken_over",
                    batch_id=batch.batch_id,
                    items=batch.total_items,
                    done=batch.processed_items,
                )
                self._scheduler.reconcile(batch)
                self._news.publish(NewsKind.MOVED, batch.tenant, batch.batch_id)

    async def _reconcile(self) -> None:
        if self._servers.may_take_over:
            await self._batches.discard_staged()
        left = set()
        for batch in await self._batches.running():
            self._scheduler.reconcile(batch)
            if batch.options.operation not in self._claim.operations and batch.cancel_requested_at is None:
                left.add(batch.batch_id)
                if batch.batch_id not in self._left and not self._is_others_to_run(batch.options.operation):
                    log.warning(
                        "ownership.operation_missing", batch_id=batch.batch_id, operation=batch.options.operation
                    )
        self._left = left
        self._reconcile_at = time.monotonic() + RECONCILE_EVERY_S

    def _is_others_to_run(self, operation: str) -> bool:
        return any(operation in other.operations for other in self._servers.others)

    def _hand_over_all(self) -> None:
        own = replace(self._servers.own, draining=True)
        for batch in self._scheduler.waiting():
            self._scheduler.hand_over(batch.batch_id, owner_for(batch.operation, own, self._servers.others))

    def _share(self) -> None:
        """Give batches to servers that have room, now and then: others came, or have done what they had."""
        own, now = self._servers.own, time.monotonic()
        if now < self._move_at:
            return
        for other in self._servers.others:
            items = items_to_move(own, other)
            if not items:
                continue
            for batch_id in batches_to_move(other, self._scheduler.waiting(), items):
                self._scheduler.hand_over(batch_id, other.server_id)
                self._move_at = now + MOVE_EVERY_S
            if now < self._move_at:
                return

    def _reconcile_soon(self) -> None:
        self._reconcile_at = 0.0
        self._wake.set()

    def _on_news(self, kind: NewsKind, _tenant: str, batch_id: str) -> None:
        # Skipping a batch's items needs no operation, so one that was cancelled can be taken over.
        if kind is NewsKind.MOVED or (kind is NewsKind.CANCEL_REQUESTED and batch_id in self._left):
            self._wake.set()
