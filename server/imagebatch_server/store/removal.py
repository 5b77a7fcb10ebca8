"""Deleting batches: hidden at once, then removed row by row in small transactions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, tuple_, update

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchNotTerminal
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import (
    DISCARDED,
    ENDED,
    batch_labels,
    batches,
    failure_clusters,
    items,
    notifications,
    outcomes,
    retries,
)


def hide(connection: Connection, key: BatchKey) -> None:
    """Do what the port's `hide` says."""
    batch = read_batch(connection, key, lock=True)
    if not lifecycle.is_terminal(batch.status):
        raise BatchNotTerminal(batch.batch_id, batch.status)
    connection.execute(_HIDE, parameters(key))


def expire(connection: Connection, before: datetime, limit: int) -> Sequence[BatchKey]:
    """Do what the port's `expire` says."""
    expired = connection.execute(_EXPIRE, {"before": before, "most": limit})
    return [(row.tenant, row.batch_id) for row in expired]


def remove_hidden(connection: Connection, limit_rows: int) -> int:
    """Do what the port's `remove_hidden` says; the labels of the last batch may come on top."""
    removed = 0
    while removed < limit_rows:
        row = connection.execute(_NEXT).one_or_none()
        if row is None:
            break
        removed += _remove_part(connection, (row.tenant, row.batch_id), row.total_items, limit_rows - removed)
    return removed


def _remove_part(connection: Connection, key: BatchKey, total_items: int, limit_rows: int) -> int:
    """Remove items from the highest index down, each with its outcome; the batch's row goes with the last."""
    first = max(total_items - max(limit_rows // 2, 1), 0)
    values = {**parameters(key), "first": first}
    removed = sum(connection.execute(statement, values).rowcount for statement in _REMOVE_FROM)
    if first:
        connection.execute(_SHRINK, {**parameters(key), "left": first})
        return removed
    return removed + sum(connection.execute(statement, parameters(key)).rowcount for statement in _REMOVE)


_HIDE = update(batches).where(of_batch(batches)).values(visible=False, request_id=None)
_EXPIRE = (
    update(batches)
    .where(
        tuple_(batches.c.tenant, batches.c.batch_id).in_(
            select(batches.c.tenant, batches.c.batch_id)
            .where(ENDED, batches.c.completed_at < bindparam("before"))
            .order_by(batches.c.completed_at)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        ),
        ENDED,
        batches.c.completed_at < bindparam("before"),
    )
    .values(visible=False, request_id=None)
    .returning(batches.c.tenant, batches.c.batch_id)
)
# What another server is removing is left to it.
_NEXT = (
    select(batches.c.tenant, batches.c.batch_id, batches.c.total_items)
    .where(DISCARDED)
    .order_by(batches.c.tenant, batches.c.batch_id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_SHRINK = update(batches).where(of_batch(batches)).values(total_items=bindparam("left"))
_REMOVE_FROM = [
    delete(table).where(of_batch(table), table.c.item_index >= bindparam("first")) for table in (outcomes, items)
]
_REMOVE = [
    delete(table).where(of_batch(table)) for table in (batch_labels, retries, failure_clusters, notifications, batches)
]
