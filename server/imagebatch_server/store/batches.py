"""The port `BatchStore` in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import CTE, Connection, bindparam, select, tuple_, update

from imagebatch_server.batches.model import (
    Batch,
    BatchChange,
    BatchFilter,
    ClusterPosition,
    FailureCluster,
    Item,
    RetryRequest,
    StoredObject,
)
from imagebatch_server.batches.ports.batches import NewBatch, WaitingChange
from imagebatch_server.batches.quotas import QuotasOf
from imagebatch_server.store import changes, removal, rows, staging
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.database import Database
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.failure_clusters import list_clusters
from imagebatch_server.store.file_space import give_back
from imagebatch_server.store.items import items_at, unrecorded_indexes
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.listing import list_batches
from imagebatch_server.store.retry import retry
from imagebatch_server.store.servers import is_left
from imagebatch_server.store.submit import create, find_request
from imagebatch_server.store.tables import RUNNING, batches

TAKEN_AT_ONCE = 200
"""Batches of one takeover: the servers that are left take them in turn, and none locks many rows for long."""


class SqlBatchStore:
    """The port `BatchStore` as the server `owner` has it."""

    def __init__(
        self, database: Database, *, owner: str, quotas: QuotasOf, owner_for: Callable[[str], str] | None = None
    ) -> None:
        """`owner_for` says whose the batches of an operation are that are submitted here; absent: this server's."""
        self._database = database
        self._owner = owner
        self._owner_for = owner_for or (lambda _operation: owner)
        self._quotas = quotas

    async def create(
        self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]
    ) -> tuple[Batch, Sequence[Item]]:
        work = partial(
            create,
            batch=batch,
            new_items=items,
            new_objects=objects,
            owner=self._owner_for(batch.options.operation),
            quotas=self._quotas(batch.tenant),
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
        return await self._database.write(partial(changes.request_cancel, key=(tenant, batch_id), at=at))

    async def pause(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        return await self._database.write(partial(changes.pause, key=(tenant, batch_id), at=at))

    async def resume(self, tenant: str, batch_id: str) -> Batch:
        return await self._database.write(partial(changes.resume, key=(tenant, batch_id)))

    async def update(self, tenant: str, batch_id: str, change: BatchChange) -> Batch:
        return await self._database.write(partial(changes.change, key=(tenant, batch_id), change=change))

    async def stage(self, batch: NewBatch) -> None:
        await self._database.write(partial(staging.stage, batch=batch, owner=self._owner))

    async def stage_items(self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]) -> None:
        work = partial(
            staging.stage_items,
            batch=batch,
            new_items=items,
            new_objects=objects,
            quotas=self._quotas(batch.tenant),
        )
        await self._database.write(work)

    async def known_item_ids(self, tenant: str, batch_id: str, item_ids: Sequence[str]) -> Mapping[str, int]:
        return await self._database.read(partial(staging.known_item_ids, key=(tenant, batch_id), item_ids=item_ids))

    async def publish(self, batch: NewBatch, total_items: int) -> Batch:
        work = partial(
            staging.publish,
            batch=batch,
            total_items=total_items,
            owner=self._owner_for(batch.options.operation),
            quotas=self._quotas(batch.tenant),
        )
        return await self._database.write(work)

    async def discard(self, tenant: str, batch_id: str) -> None:
        await self._database.write(partial(staging.discard, key=(tenant, batch_id)))

    async def discard_staged(self) -> int:
        return await self._database.write(partial(staging.discard_staged, owner=self._owner))

    async def retry(self, tenant: str, batch_id: str, request: RetryRequest, at: datetime) -> tuple[Batch, bool]:
        work = partial(
            retry,
            key=(tenant, batch_id),
            request=request,
            at=at,
            owner_for=self._owner_for,
            quotas=self._quotas(tenant),
        )
        return await self._database.write(work)

    async def hide(self, tenant: str, batch_id: str) -> None:
        await self._database.write(partial(removal.hide, key=(tenant, batch_id)))

    async def expire(self, before: datetime, limit: int) -> Sequence[tuple[str, str]]:
        return await self._database.write(partial(removal.expire, before=before, limit=limit))

    async def remove_hidden(self, limit_rows: int) -> int:
        return await self._database.write(partial(removal.remove_hidden, limit_rows=limit_rows))

    async def give_back_space(self) -> int:
        return await self._database.write(give_back)

    async def take_over(self, operations: Sequence[str]) -> Sequence[Batch]:
        return await self._database.write(partial(_take_over, owner=self._owner, operations=operations))

    async def give(self, tenant: str, batch_id: str, owner_epoch: int, owner: str) -> None:
        values = {**parameters((tenant, batch_id)), "epoch": owner_epoch, "new_owner": owner}
        await self._database.write(lambda connection: connection.execute(_GIVE, values))

    async def set_waiting(self, changes: Sequence[WaitingChange]) -> None:
        await self._database.write(partial(_set_waiting, changes=changes))

    async def running(self) -> Sequence[Batch]:
        return await self._database.read(_running)

    async def owned(self) -> Mapping[tuple[str, str], int]:
        return await self._database.read(partial(_owned, owner=self._owner))

    async def pending_items(self, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
        return await self._database.read(
            partial(_pending_items, key=(tenant, batch_id), after_index=after_index, limit=limit)
        )

    async def failure_clusters(
        self, tenant: str, batch_id: str, limit: int, after: ClusterPosition | None
    ) -> Sequence[FailureCluster]:
        return await self._database.read(partial(list_clusters, key=(tenant, batch_id), limit=limit, after=after))

    async def items(self, tenant: str, batch_id: str, indexes: Sequence[int]) -> Sequence[Item]:
        return await self._database.read(partial(items_at, key=(tenant, batch_id), indexes=sorted(indexes)))


def _take_over(connection: Connection, owner: str, operations: Sequence[str]) -> Sequence[Batch]:
    taken = connection.execute(_TAKE_OVER[connection.dialect.name], {"new_owner": owner, "operations": operations})
    return sorted((rows.to_batch(row) for row in taken), key=lambda batch: batch.batch_id)


def _set_waiting(connection: Connection, changes: Sequence[WaitingChange]) -> None:
    # In the order of their ids, as the recorder locks batches.
    for change in sorted(changes, key=lambda change: (change.tenant, change.batch_id)):
        values = {"epoch": change.owner_epoch, "now": rows.from_waiting(change.waiting)}
        connection.execute(_SET_WAITING, {**parameters((change.tenant, change.batch_id)), **values})


def _running(connection: Connection) -> Sequence[Batch]:
    return [rows.to_batch(row) for row in connection.execute(_RUNNING)]


def _owned(connection: Connection, owner: str) -> Mapping[tuple[str, str], int]:
    found = connection.execute(_OWNED, {"of_owner": owner})
    return {(row.tenant, row.batch_id): row.owner_epoch for row in found}


def _left_behind(dialect: str) -> CTE:
    return (
        select(batches.c.tenant, batches.c.batch_id)
        .where(RUNNING, is_left(batches.c.owner, dialect, own="new_owner"), _CAN_RUN)
        .order_by(batches.c.batch_id)
        .limit(TAKEN_AT_ONCE)
        .with_for_update(skip_locked=True, of=batches)  # whoever has one locked takes it over, or records of it
        .cte("left_behind")
    )


def _pending_items(connection: Connection, key: BatchKey, after_index: int, limit: int) -> Sequence[Item]:
    total_items = connection.execute(_TOTAL_ITEMS, parameters(key)).scalar_one_or_none() or 0
    indexes = unrecorded_indexes(connection, key, range(after_index + 1, total_items), 0, limit)
    return items_at(connection, key, indexes)


_TOTAL_ITEMS = select(batches.c.total_items).where(of_batch(batches))
_MOVED = {"owner": bindparam("new_owner"), "owner_epoch": batches.c.owner_epoch + 1}
_CAN_RUN = batches.c.operation.in_(bindparam("operations", expanding=True)) | batches.c.cancel_requested_at.is_not(None)
_TAKE_OVER = {
    dialect: update(batches)
    .where(tuple_(batches.c.tenant, batches.c.batch_id).in_(select(_left_behind(dialect))))
    .values(_MOVED)
    .returning(batches)
    for dialect in INSERTS
}
_GIVE = update(batches).where(of_batch(batches), RUNNING, batches.c.owner_epoch == bindparam("epoch")).values(_MOVED)
_SET_WAITING = (
    update(batches)
    .where(of_batch(batches), RUNNING, batches.c.owner_epoch == bindparam("epoch"))
    .values(waiting=bindparam("now", type_=batches.c.waiting.type))
)
_OWNED = select(batches.c.tenant, batches.c.batch_id, batches.c.owner_epoch).where(
    RUNNING, batches.c.owner == bindparam("of_owner")
)
_RUNNING = select(batches).where(RUNNING).order_by(batches.c.batch_id)
