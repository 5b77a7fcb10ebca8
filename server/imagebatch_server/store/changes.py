"""What callers change of a running batch: they cancel, pause, resume or update it.

One statement each, which names what it starts from: a change that comes too late, or twice, changes nothing.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Update, bindparam, delete, update

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchTerminal
from imagebatch_server.batches.model import Batch, BatchChange
from imagebatch_server.store import rows
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.submit import insert_labels
from imagebatch_server.store.tables import RUNNING, batch_labels, batches
from imagebatch_server.store.tenant_rows import OF_NO_DELETED_TENANT


def request_cancel(connection: Connection, key: BatchKey, at: datetime) -> Batch:
    """Do what the port's `request_cancel` says."""
    return _apply(connection, _CANCEL, key, at=at)


def pause(connection: Connection, key: BatchKey, at: datetime) -> Batch:
    """Do what the port's `pause` says."""
    return _running(_apply(connection, _PAUSE, key, at=at))


def resume(connection: Connection, key: BatchKey) -> Batch:
    """Do what the port's `resume` says."""
    return _running(_apply(connection, _RESUME, key))


def change(connection: Connection, key: BatchKey, change: BatchChange) -> Batch:
    """Do what the port's `update` says."""
    given = {"priority": change.priority, "labels": change.labels}
    values = {name: value for name, value in given.items() if value is not None}
    batch = _running(_apply(connection, _OF_RUNNING.values(values).returning(batches), key))
    if change.labels is not None:
        connection.execute(delete(batch_labels).where(of_batch(batch_labels)), parameters(key))
        insert_labels(connection, batch)
    return batch


def _apply(connection: Connection, statement: Update, key: BatchKey, **values: datetime) -> Batch:
    """Answer the batch as the statement leaves it, changed or not. Raises BatchNotFound."""
    row = connection.execute(statement, {**parameters(key), **values}).one_or_none()
    return read_batch(connection, key) if row is None else rows.to_batch(row)


def _running(batch: Batch) -> Batch:
    if lifecycle.is_terminal(batch.status):
        raise BatchTerminal(batch.batch_id, batch.status)
    return batch


_OF_RUNNING = update(batches).where(of_batch(batches), RUNNING, OF_NO_DELETED_TENANT["batches"])
_CANCEL = (
    _OF_RUNNING.where(batches.c.cancel_requested_at.is_(None))
    .values(cancel_requested_at=bindparam("at"), paused_at=None)
    .returning(batches)
)
_PAUSE = (
    _OF_RUNNING.where(batches.c.paused_at.is_(None), batches.c.cancel_requested_at.is_(None))
    .values(paused_at=bindparam("at"))
    .returning(batches)
)
_RESUME = (
    _OF_RUNNING.where(batches.c.paused_at.is_not(None)).values(paused_at=None, outcomes_per_s=None).returning(batches)
)
