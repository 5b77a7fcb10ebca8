"""The port `TenantStore` in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

from imagebatch_server.batches.model import DailyUsage
from imagebatch_server.store import tenant_removal
from imagebatch_server.store.database import Database
from imagebatch_server.store.usage import read_usage


class SqlTenantStore:
    """The port `TenantStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def usage(self, tenant: str, day_from: date, day_before: date) -> Sequence[DailyUsage]:
        return await self._database.read(partial(read_usage, tenant=tenant, day_from=day_from, day_before=day_before))

    async def delete(self, tenant: str, at: datetime) -> Sequence[str]:
        return await self._database.write(partial(tenant_removal.mark_deleted, tenant=tenant, at=at))

    async def hide_deleted(self, limit: int) -> Sequence[tuple[str, str]]:
        return await self._database.write(partial(tenant_removal.hide_deleted, limit=limit))

    async def remove_deleted(self, limit: int) -> tuple[int, Sequence[str]]:
        return await self._database.write(partial(tenant_removal.remove_deleted, limit=limit))
