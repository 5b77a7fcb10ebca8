"""Clearing away: deleted batches and tenants, batches past their retention time, objects that nothing refers to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import structlog

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.batches.ports.batches import BatchStore
from imagebatch_server.batches.ports.servers import News, NewsKind
from imagebatch_server.batches.sweeper import Sweeper
from imagebatch_server.batches.tenants import TenantStore

log = structlog.get_logger(__name__)

ROWS_A_STEP = 1_000


class Janitor:
    """Work in small steps, so that nobody waits for it, and try again later whenever the store is away."""

    name = "janitor"

    def __init__(
        self,
        batches: BatchStore,
        tenants: TenantStore,
        sweeper: Sweeper,
        news: News,
        *,
        retention: timedelta | None,
        every_s: float,
        leads: Callable[[], bool] = lambda: True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`retention` is how long a terminal batch is kept, None for ever; `every_s` the time between rounds.

        `leads` tells whether this server clears away for all: of several servers one is enough. That two do so for a
        moment, while that one changes, does no harm.
        """
        self._batches = batches
        self._tenants = tenants
        self._sweeper = sweeper
        self._news = news
        self._retention = retention
        self._every_s = every_s
        self._leads = leads
        self._now = now
        self._to_discard: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self._wake.set()  # the first round begins at once
        news.subscribe(self._on_news)

    def _on_news(self, kind: NewsKind, _tenant: str, _batch_id: str) -> None:
        if kind in (NewsKind.DELETED, NewsKind.TENANT_DELETED):
            self._wake.set()  # for the next round at once

    async def discard(self, tenant: str, batch_id: str) -> None:
        """Leave a batch that is still staged to be removed; if the store is away, by the rounds that follow."""
        try:
            await self._batches.discard(tenant, batch_id)
        except StoreUnavailable:
            self._to_discard.add((tenant, batch_id))

    async def step(self) -> None:
        """Wait until a round is due or a batch was deleted, and do the round. Raises StoreUnavailable."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._every_s):
                await self._wake.wait()
        self._wake.clear()
        await self.tidy()

    async def tidy(self) -> None:
        """One round. Raises StoreUnavailable."""
        for tenant, batch_id in list(self._to_discard):
            await self._batches.discard(tenant, batch_id)
            self._to_discard.remove((tenant, batch_id))
        if not self._leads():
            return
        await self._expire()
        self._wake.clear()  # what is deleted by now is removed in this round
        await self._remove_hidden()
        await self._remove_tenants()
        await self._give_back_space()
        await self._sweeper.sweep()

    async def _remove_hidden(self) -> None:
        while await self._batches.remove_hidden(ROWS_A_STEP):
            pass

    async def _remove_tenants(self) -> None:
        while hidden := await self._tenants.hide_deleted(ROWS_A_STEP):
            for tenant, batch_id in hidden:
                self._news.publish(NewsKind.DELETED, tenant, batch_id)
            await self._remove_hidden()
        removed = 1
        while removed:
            removed, gone = await self._tenants.remove_deleted(ROWS_A_STEP)
            for tenant in gone:
                log.info("janitor.tenant_removed", tenant=tenant)

    async def _give_back_space(self) -> None:
        given_back = 0
        while step := await self._batches.give_back_space():
            given_back += step
        if given_back:
            log.info("janitor.space_given_back", bytes=given_back)

    async def _expire(self) -> None:
        if self._retention is None:
            return
        while expired := await self._batches.expire(self._now() - self._retention, ROWS_A_STEP):
            for tenant, batch_id in expired:
                self._news.publish(NewsKind.DELETED, tenant, batch_id)
            log.info("janitor.batches_expired", batches=len(expired))
