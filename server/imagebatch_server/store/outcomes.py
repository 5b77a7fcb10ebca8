"""The port `OutcomeStore` in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from imagebatch_server.batches.model import Batch, ItemFilter, ItemResult
from imagebatch_server.batches.ports.batches import BatchCommit
from imagebatch_server.store import pages
from imagebatch_server.store.database import Database
from imagebatch_server.store.keys import BatchKey
from imagebatch_server.store.record import record


class SqlOutcomeStore:
    """The port `OutcomeStore`. A read ends early, after at least one row, once it holds `max_read_bytes`."""

    def __init__(self, database: Database, *, max_read_bytes: int) -> None:
        self._database = database
        self._max_read_bytes = max_read_bytes

    async def record(self, commits: Sequence[BatchCommit], at: datetime, *, recheck: bool) -> Sequence[Batch | None]:
        return await self._database.write(partial(record, commits=commits, at=at, recheck=recheck))

    async def page(
        self, tenant: str, batch_id: str, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        key = (tenant, batch_id)
        if match.text is not None:
            return await self._searched(key, match, offset, limit)
        return await self._database.read(
            partial(pages.page, key=key, match=match, offset=offset, limit=limit, max_bytes=self._max_read_bytes)
        )

    async def after(self, tenant: str, batch_id: str, sequence: int, limit: int) -> Sequence[ItemResult]:
        key = (tenant, batch_id)
        return await self._database.read(
            partial(pages.after, key=key, sequence=sequence, limit=limit, max_bytes=self._max_read_bytes)
        )

    async def news(self, tenant: str, batch_id: str, sequence: int, limit: int) -> tuple[Batch, Sequence[ItemResult]]:
        key = (tenant, batch_id)
        return await self._database.read(
            partial(pages.news, key=key, sequence=sequence, limit=limit, max_bytes=self._max_read_bytes)
        )

    async def _searched(
        self, key: BatchKey, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        total, indexes = 0, list[int]()
        following: int | None = 0
        while following is not None:
            part, following = await self._database.read(partial(pages.searched, key=key, match=match, first=following))
            indexes += part[max(offset - total, 0) : max(offset + limit - total, 0)]
            total += len(part)
        batch, found = await self._database.read(
            partial(pages.at, key=key, indexes=indexes, max_bytes=self._max_read_bytes)
        )
        return batch, total, found
