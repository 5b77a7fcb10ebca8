"""What can be asked of tenants as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import structlog

from imagebatch_server.batches.errors import InvalidRequest, Violation
from imagebatch_server.batches.model import DailyUsage
from imagebatch_server.batches.ports.servers import News, NewsKind

log = structlog.get_logger(__name__)

USUAL_DAYS = timedelta(days=30)
MOST_DAYS = timedelta(days=366)
"""Of one answer, so that it stays small however many operations there are."""


class TenantStore(Protocol):
    """What there is of tenants beside their batches and objects. Every method raises `StoreUnavailable`."""

    async def usage(self, tenant: str, day_from: date, day_before: date) -> Sequence[DailyUsage]:
        """Read what a tenant used, in the order of days and operations."""

    async def delete(self, tenant: str, at: datetime) -> Sequence[str]:
        """Hide all of a tenant, and let nothing more be stored for it; answers the batches that were running.

        What was deleted already is answered alike.
        """

    async def hide_deleted(self, limit: int) -> Sequence[tuple[str, str]]:
        """Hide the next batches of deleted tenants, so that their rows are removed; answers tenants and ids."""

    async def remove_deleted(self, limit: int) -> tuple[int, Sequence[str]]:
        """Remove at most so many objects' rows of deleted tenants that have no batch any more, in one transaction.

        Answers how many, and the tenants of which nothing is left, whose names are free again.
        """


class Tenants:
    """Tell what tenants use, and delete them."""

    def __init__(
        self,
        store: TenantStore,
        news: News,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._news = news
        self._now = now

    async def usage(self, tenant: str, day_from: date | None, day_before: date | None) -> Sequence[DailyUsage]:
        """Read what a tenant used from a day on, and before another one; by default in the 30 days up to today (UTC).

        Raises InvalidRequest for too many days.
        """
        try:
            day_before = day_before or self._now().date() + timedelta(days=1)
            day_from = day_from or day_before - USUAL_DAYS
        except OverflowError as error:
            raise InvalidRequest([Violation("day_before", "is no day that anything was used on")]) from error
        if day_before - day_from > MOST_DAYS:
            text = f"{day_before} is more than {MOST_DAYS.days} days after {day_from}; ask for fewer days at a time"
            raise InvalidRequest([Violation("day_before", text)])
        return await self._store.usage(tenant, day_from, day_before)

    async def delete(self, tenant: str) -> None:
        """Hide all that a tenant has at once, stop what runs of it, and have everything removed. Safe to repeat."""
        stopped = await self._store.delete(tenant, self._now())
        log.info("tenant.deleted", tenant=tenant, stopped_batches=len(stopped))
        for batch_id in stopped:
            self._news.publish(NewsKind.DELETED, tenant, batch_id)
        self._news.publish(NewsKind.TENANT_DELETED, tenant, "")
