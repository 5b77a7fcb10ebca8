"""Batches and their items in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, and_, func, insert, select, update

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches.errors import BatchNotFound, LimitExceeded, RequestIdReused
from imagebatch_server.batches.model import Batch, BatchFilter, Item, StoredObject
from imagebatch_server.batches.ports import NewBatch
from imagebatch_server.store import rows
from imagebatch_server.store.database import Database
from imagebatch_server.store.tables import batch_labels, batches, items, objects, outcomes

RUNNING = (BatchStatus.PENDING.value, BatchStatus.PROCESSING.value)


class SqlBatchStore:
    """The port `BatchStore`. Batches that are submitted here are owned by `owner`."""

    def __init__(self, database: Database, *, owner: str, max_running_batches: int) -> None:
        self._database = database
        self._owner = owner
        self._max_running_batches = max_running_batches

    async def create(self, batch: NewBatch, items: Sequence[Item], objects: Sequence[StoredObject]) -> Batch:
        return await self._database.write(partial(self._create, batch=batch, new_items=items, new_objects=objects))

    async def get(self, tenant: str, batch_id: str) -> Batch:
        return await self._database.read(partial(_get, tenant=tenant, batch_id=batch_id))

    async def find_request(self, batch: NewBatch) -> Batch | None:
        return await self._database.read(partial(_find_request, batch=batch))

    async def list(self, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None) -> Sequence[Batch]:
        return await self._database.read(
            partial(_list, tenant=tenant, match=match, limit=limit, before_batch_id=before_batch_id)
        )

    async def request_cancel(self, tenant: str, batch_id: str, at: datetime) -> Batch:
        return await self._database.write(partial(_request_cancel, tenant=tenant, batch_id=batch_id, at=at))

    async def take_over(self, owner: str) -> Sequence[Batch]:
        return await self._database.write(partial(_take_over, owner=owner))

    async def pending_items(self, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
        return await self._database.read(
            partial(_pending_items, tenant=tenant, batch_id=batch_id, after_index=after_index, limit=limit)
        )

    async def items(self, tenant: str, batch_id: str, indexes: Sequence[int]) -> Sequence[Item]:
        return await self._database.read(partial(_items, tenant=tenant, batch_id=batch_id, indexes=indexes))

    def _create(
        self, connection: Connection, batch: NewBatch, new_items: Sequence[Item], new_objects: Sequence[StoredObject]
    ) -> Batch:
        existing = _find_request(connection, batch)
        if existing is not None:
            return existing
        self._check_room(connection, batch.tenant)
        if new_objects:
            connection.execute(insert(objects), [rows.from_object(stored) for stored in new_objects])
        row = connection.execute(
            insert(batches).returning(batches), rows.from_new_batch(batch, len(new_items), self._owner)
        ).one()
        labels = batch.options.labels
        if labels:
            connection.execute(
                insert(batch_labels),
                [
                    {"tenant": batch.tenant, "batch_id": batch.batch_id, "key": key, "value": value}
                    for key, value in labels.items()
                ],
            )
        connection.execute(insert(items), [rows.from_item(batch.tenant, batch.batch_id, item) for item in new_items])
        return rows.to_batch(row)

    def _check_room(self, connection: Connection, tenant: str) -> None:
        running = connection.execute(
            select(func.count()).where(batches.c.tenant == tenant, batches.c.status.in_(RUNNING))
        ).scalar_one()
        if running >= self._max_running_batches:
            raise LimitExceeded(
                "max_running_batches",
                f"{running} batches are running, and this server runs at most {self._max_running_batches} at a time; "
                "wait for one to end, cancel one, or raise IMAGEBATCH_MAX_RUNNING_BATCHES",
                value=running,
                setting="IMAGEBATCH_MAX_RUNNING_BATCHES",
                retry_after_s=5.0,
            )


def _find_request(connection: Connection, batch: NewBatch) -> Batch | None:
    request_id = batch.options.request_id
    if request_id is None:
        return None
    row = connection.execute(
        select(batches).where(batches.c.tenant == batch.tenant, batches.c.request_id == request_id)
    ).one_or_none()
    if row is None:
        return None
    if row.content_sha256 != batch.content_sha256:
        raise RequestIdReused(request_id, row.batch_id)
    return rows.to_batch(row)


def _get(connection: Connection, tenant: str, batch_id: str) -> Batch:
    row = connection.execute(
        select(batches).where(batches.c.tenant == tenant, batches.c.batch_id == batch_id)
    ).one_or_none()
    if row is None:
        raise BatchNotFound(batch_id)
    return rows.to_batch(row)


def _list(
    connection: Connection, tenant: str, match: BatchFilter, limit: int, before_batch_id: str | None
) -> Sequence[Batch]:
    # A UUIDv7 begins with its time of creation: its order is the order of submission, and needs no second index.
    query = select(batches).where(batches.c.tenant == tenant).order_by(batches.c.batch_id.desc()).limit(limit)
    if before_batch_id is not None:
        query = query.where(batches.c.batch_id < before_batch_id)
    if match.statuses:
        query = query.where(batches.c.status.in_([status.value for status in match.statuses]))
    if match.operation is not None:
        query = query.where(batches.c.operation == match.operation)
    for key, value in (match.labels or {}).items():
        labelled = select(batch_labels.c.batch_id).where(
            batch_labels.c.tenant == tenant,
            batch_labels.c.batch_id == batches.c.batch_id,
            batch_labels.c.key == key,
            batch_labels.c.value == value,
        )
        query = query.where(labelled.exists())
    if match.created_after is not None:
        query = query.where(batches.c.created_at >= match.created_after)
    if match.created_before is not None:
        query = query.where(batches.c.created_at < match.created_before)
    return [rows.to_batch(row) for row in connection.execute(query)]


def _request_cancel(connection: Connection, tenant: str, batch_id: str, at: datetime) -> Batch:
    connection.execute(
        update(batches)
        .where(
            batches.c.tenant == tenant,
            batches.c.batch_id == batch_id,
            batches.c.status.in_(RUNNING),
            batches.c.cancel_requested_at.is_(None),
        )
        .values(cancel_requested_at=at)
    )
    return _get(connection, tenant, batch_id)


def _take_over(connection: Connection, owner: str) -> Sequence[Batch]:
    taken = connection.execute(
        update(batches)
        .where(batches.c.status.in_(RUNNING))
        .values(owner=owner, owner_epoch=batches.c.owner_epoch + 1)
        .returning(batches)
    )
    return sorted((rows.to_batch(row) for row in taken), key=lambda batch: batch.batch_id)


def _pending_items(connection: Connection, tenant: str, batch_id: str, after_index: int, limit: int) -> Sequence[Item]:
    outcome = and_(
        outcomes.c.tenant == tenant,
        outcomes.c.batch_id == batch_id,
        outcomes.c.item_index == items.c.item_index,
    )
    query = (
        select(items)
        .outerjoin(outcomes, outcome)
        .where(
            items.c.tenant == tenant,
            items.c.batch_id == batch_id,
            items.c.item_index > after_index,
            outcomes.c.item_index.is_(None),
        )
        .order_by(items.c.item_index)
        .limit(limit)
    )
    return [rows.to_item(row) for row in connection.execute(query)]


def _items(connection: Connection, tenant: str, batch_id: str, indexes: Sequence[int]) -> Sequence[Item]:
    query = (
        select(items)
        .where(items.c.tenant == tenant, items.c.batch_id == batch_id, items.c.item_index.in_(indexes))
        .order_by(items.c.item_index)
    )
    return [rows.to_item(row) for row in connection.execute(query)]
