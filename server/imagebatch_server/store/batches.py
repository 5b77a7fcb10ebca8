"""The port `BatchStore` in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, bindparam, select, update

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.model import Batch, BatchFilter, Item, StoredObject
from imagebatch_server.batches.ports import NewBatch
from imagebatch_server.store import removal, rows, staging
from imagebatch_server.store.database import Database
from imagebatch_server.store.items import items_at, unrecorded_indexes
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.listing import list_batches
from imagebatch_server.store.reading import read_batch
from imagebatch_server.store.retry import retry
from imagebatch_server.store.submit import create, find_request
from imagebatch_server.store.tables import RUNNING, batches


class SqlBatchStore:
    """The port `BatchStore`. Batches that are submitted here are owned by `owner`."""

    def __init__(self, database: Database, *, owner: str, max_running_batches: int) -> None:
        self._database = database
        self._owner = owner
        self._max_running_batches = max_running_batches

    async def create(
        self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]
    ) -> tuple[Batch, Sequence[Item]]:
        work = partial(
            create,
            batch=batch,
            new_items=items,
            new_objects=objects,
            owner=self._owner,
            max_running_batches=self._max_running_batches,
        )
        return await self._database.write(work)

    async def get(self, tenant: str, batch_id: str) -> Batch:
        return await self._database.read(partial(read_batch, key=(tenant, batch_id)))

    async def find_request(self, batch: NewBatch) -> Batch | None:
        return await self._database.read(partial(find_request, batch=batch))

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        return await self._database.read(
            partial(list_batches, tenant=tenant, match=match, limit=limit, before_batch_id=before_batch_id)
        )

    async def request_cancel(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        return await self._database.write(partial(_request_cancel, key=(tenant, batch_id), at=at))

    async def stage(self, batch: NewBatch) -> None:
        await self._database.write(partial(staging.stage, batch=batch, owner=self._owner))

    async def stage_items(self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]) -> None:
        await self._database.write(partial(staging.stage_items, batch=batch, new_items=items, new_objects=objects))

    async def known_item_ids(self, tenant: str, batch_id: str, item_ids: Sequence[str]) -> Mapping[str, int]:
        return await self._database.read(partial(staging.known_item_ids, key=(tenant, batch_id), item_ids=item_ids))

    async def publish(self, batch: NewBatch, total_items: int) -> Batch:
        limit = self._max_running_batches
        return await self._database.write(
            partial(staging.publish, batch=batch, total_items=total_items, max_running_batches=limit)
        )

    async def discard(self, tenant: str, batch_id: str) -> None:
        await self._database.write(partial(staging.discard, key=(tenant, batch_id)))

    async def discard_staged(self, owner: str) -> int:
        return await self._database.write(partial(staging.discard_staged, owner=owner))

    async def retry(self, tenant: str, batch_id: str, error_codes: Sequence[ItemErrorCode]) -> tuple[Batch, bool]:
        work = partial(
            retry,
            key=(tenant, batch_id),
            error_codes=error_codes,
            owner=self._owner,
            max_running_batches=self._max_running_batches,
        )
        return await self._database.write(work)

    async def hide(self, tenant: str, batch_id: str) -> None:
        await self._database.write(partial(removal.hide, key=(tenant, batch_id)))

    async def expire(self, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
        return await self._database.write(partial(removal.expire, before=before, limit=limit))

    async def remove_hidden(self, limit_rows: int) -> int:
        return await self._database.write(partial(removal.remove_hidden, limit_rows=limit_rows))

    async def take_over(self, owner: str) -> Sequence[Batch]:
        return await self._database.write(partial(_take_over, owner=owner))

    async def owned(self, owner: str) -> Sequence[Batch]:
        return await self._database.read(partial(_owned, owner=owner))

    async def pending_items(self, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
        return await self._database.read(
            partial(_pending_items, key=(tenant, batch_id), after_index=after_index, limit=limit)
        )

    async def items(self, tenant: str, batch_id: str, indexes: Sequence[int]) -> Sequence[Item]:
        return await self._database.read(partial(items_at, key=(tenant, batch_id), indexes=sorted(indexes)))


def _request_cancel(connection: Connection, key: BatchKey, at: datetime) -> Batch:
    row = connection.execute(_CANCEL, {**parameters(key), "at": at}).one_or_none()
    return read_batch(connection, key) if row is None else rows.to_batch(row)


def _take_over(connection: Connection, owner: str) -> Sequence[Batch]:
    taken = connection.execute(_TAKE_OVER, {"new_owner": owner})
    return sorted((rows.to_batch(row) for row in taken), key=lambda batch: batch.batch_id)


def _owned(connection: Connection, owner: str) -> Sequence[Batch]:
    return [rows.to_batch(row) for row in connection.execute(_OWNED, {"of_owner": owner})]


def _pending_items(connection: Connection, key: BatchKey, after_index: int, limit: int) -> Sequence[Item]:
    total_items = connection.execute(_TOTAL_ITEMS, parameters(key)).scalar_one_or_none() or 0
    indexes = unrecorded_indexes(connection, key, range(after_index + 1, total_items), 0, limit)
    return items_at(connection, key, indexes)


_TOTAL_ITEMS = select(batches.c.total_items).where(of_batch(batches))
_CANCEL = (
    update(batches)
    .where(of_batch(batches), RUNNING, batches.c.cancel_requested_at.is_(None))
    .values(cancel_requested_at=bindparam("at"))
    .returning(batches)
)
_TAKE_OVER = (
    update(batches)
    .where(RUNNING)
    .values(owner=bindparam("new_owner"), owner_epoch=batches.c.owner_epoch + 1)
    .returning(batches)
)
_OWNED = select(batches).where(RUNNING, batches.c.owner == bindparam("of_owner")).order_by(batches.c.batch_id)
