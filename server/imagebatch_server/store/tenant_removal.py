"""Deleting a tenant: a mark hides all of it at once, and what it had is removed in small transactions afterwards.

Every step finds by the mark what is left to do, so that it doesn't matter where a server died.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, case, delete, exists, insert, select, text, update

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.keys import BatchKey
from imagebatch_server.store.tables import RUNNING, batches, objects, removed_objects, tenants, usage


def mark_deleted(connection: Connection, tenant: str, at: datetime) -> Sequence[str]:
    """Do what the port's `delete` says."""
    stopped = connection.execute(_STOP, {"of_tenant": tenant}).scalars().all()
    connection.execute(_MARK[connection.dialect.name], {"tenant": tenant, "stored_bytes": 0, "deleted_at": at})
    return stopped


def hide_deleted(connection: Connection, limit: int) -> Sequence[BatchKey]:
    """Do what the port's `hide_deleted` says."""
    hidden: list[BatchKey] = []
    for tenant in connection.execute(_DELETED).scalars().all():
        values = {"of_tenant": tenant, "most": limit - len(hidden)}
        hidden += [(tenant, batch_id) for batch_id in connection.execute(_HIDE, values).scalars()]
        if len(hidden) == limit:
            break
    return hidden


def remove_deleted(connection: Connection, limit: int) -> tuple[int, Sequence[str]]:
    """Do what the port's `remove_deleted` says."""
    removed, gone = 0, []
    for tenant in connection.execute(_DELETED.with_for_update(skip_locked=True)).scalars().all():
        of_tenant = {"of_tenant": tenant}
        if connection.execute(_HAS_BATCHES, of_tenant).scalar_one():
            continue
        removed += _remove_objects(connection, tenant, limit - removed)
        if removed >= limit:
            break
        connection.execute(_REMOVE_USAGE, of_tenant)
        connection.execute(_REMOVE_TENANT, of_tenant)
        gone.append(tenant)
    return removed, gone


def _remove_objects(connection: Connection, tenant: str, limit: int) -> int:
    """Remove rows of objects; their keys stay until the blobs are gone."""
    keys = connection.execute(_OBJECTS, {"of_tenant": tenant, "most": limit}).scalars().all()
    if keys:
        connection.execute(_REMOVE_OBJECTS, {"object_keys": keys})
        connection.execute(insert(removed_objects), [{"object_key": key} for key in keys])
    return len(keys)


_DELETED: Select[Any] = select(tenants.c.tenant).where(tenants.c.deleted_at.is_not(None)).order_by(tenants.c.tenant)
_OF_TENANT = batches.c.tenant == bindparam("of_tenant")
# In the order in which the recorder locks batches. A raised epoch refuses what is still written to them.
_STOP = (
    update(batches)
    .where(
        _OF_TENANT,
        batches.c.batch_id.in_(
            select(batches.c.batch_id).where(_OF_TENANT, RUNNING).order_by(batches.c.batch_id).with_for_update()
        ),
    )
    .values(
        visible=False,
        request_id=None,
        status=BatchStatus.CANCELLED.value,
        owner_epoch=batches.c.owner_epoch + 1,
    )
    .returning(batches.c.batch_id)
)
_INSERT = {dialect: insert_(tenants) for dialect, insert_ in INSERTS.items()}
_MARK = {
    dialect: insert_.on_conflict_do_update(
        index_elements=["tenant"],
        set_={
            "deleted_at": case(
                (tenants.c.deleted_at.is_(None), insert_.excluded.deleted_at), else_=tenants.c.deleted_at
            )
        },
    )
    for dialect, insert_ in _INSERT.items()
}
# Staged ones too; all others are hidden already.
_HIDE = (
    update(batches)
    .where(
        _OF_TENANT,
        batches.c.batch_id.in_(
            select(batches.c.batch_id)
            .where(_OF_TENANT, text("(visible OR status = 'pending')"))
            .order_by(batches.c.batch_id)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True)
        ),
    )
    .values(
        visible=False,
        request_id=None,
        status=case(
            (
                batches.c.status.in_([BatchStatus.PENDING.value, BatchStatus.PROCESSING.value]),
                BatchStatus.CANCELLED.value,
            ),
            else_=batches.c.status,
        ),
        owner_epoch=batches.c.owner_epoch + 1,
    )
    .returning(batches.c.batch_id)
)
_HAS_BATCHES = select(exists().where(_OF_TENANT))
_OBJECTS = select(objects.c.object_key).where(objects.c.tenant == bindparam("of_tenant")).limit(bindparam("most"))
_REMOVE_OBJECTS = delete(objects).where(objects.c.object_key.in_(bindparam("object_keys", expanding=True)))
_REMOVE_USAGE = delete(usage).where(usage.c.tenant == bindparam("of_tenant"))
_REMOVE_TENANT = delete(tenants).where(tenants.c.tenant == bindparam("of_tenant"))
