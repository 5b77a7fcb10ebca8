"""The port `ObjectRows` in SQL."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from imagebatch_server.batches.errors import ObjectNotFound
from imagebatch_server.batches.model import StoredObject
from imagebatch_server.batches.quotas import Quotas, QuotasOf
from imagebatch_server.store import rows
from imagebatch_server.store.database import Database
from imagebatch_server.store.insert_items import VALUES_A_QUERY, in_parts
from imagebatch_server.store.tables import items, objects, outcomes, removed_objects
from imagebatch_server.store.tenant_rows import (
    OF_NO_DELETED_TENANT,
    count_removed,
    hold,
    hold_all,
    insert_objects,
    read_stored_bytes,
)


class SqlObjectRows:
    """The port `ObjectRows`."""

    def __init__(self, database: Database, *, quotas: QuotasOf) -> None:
        self._database = database
        self._quotas = quotas

    async def add(self, stored: StoredObject) -> None:
        await self._database.write(partial(_add, stored=stored, quotas=self._quotas(stored.tenant)))

    async def stored_bytes(self, tenant: str) -> int:
        return await self._database.read(partial(read_stored_bytes, tenant=tenant))

    async def get(self, tenant: str, object_key: str) -> StoredObject:
        return await self._database.read(partial(_get, tenant=tenant, object_key=object_key))

    async def expect(self, stored: StoredObject, until: datetime) -> None:
        await self._database.write(partial(_add, stored=stored, quotas=self._quotas(stored.tenant), until=until))

    async def expected(self, tenant: str, object_key: str) -> StoredObject | None:
        asked = {"of_tenant": tenant, "of_object_key": object_key}
        row = await self._database.read(lambda connection: connection.execute(_GET, asked).one_or_none())
        if row is None:
            raise ObjectNotFound(object_key)
        return None if row.awaited_until is None else rows.to_object(row)

    async def complete(self, stored: StoredObject) -> bool:
        values = {
            "of_tenant": stored.tenant,
            "of_object_key": stored.object_key,
            "now_sha256": stored.sha256,
            "at": stored.created_at,
        }
        written = await self._database.write(lambda connection: connection.execute(_COMPLETE, values).rowcount)
        return bool(written)

    async def reuse(self, tenant: str, sha256: str, content_type: str, at: datetime) -> StoredObject | None:
        asked = {"of_tenant": tenant, "of_sha256": sha256, "of_content_type": content_type}
        # Most uploads are new content, and a look does not wait for the writer.
        if not await self._database.read(lambda connection: connection.execute(_OF_CONTENT, asked).first()):
            return None
        return await self._database.write(partial(_reuse, asked=asked, at=at))

    async def known(self, object_keys: Sequence[str]) -> Collection[str]:
        return await self._database.read(partial(_known, object_keys=object_keys))

    async def keys(self, after_key: str, limit: int) -> Sequence[str]:
        values = {"after_key": after_key, "most": limit}
        return await self._database.read(lambda connection: connection.execute(_KEYS, values).scalars().all())

    async def digests(self, tenant: str, object_keys: Sequence[str]) -> Mapping[str, str]:
        return await self._database.read(partial(_digests, tenant=tenant, object_keys=object_keys))

    async def unreferenced(self, created_before: datetime, limit: int, after_key: str = "") -> Sequence[str]:
        found: list[str] = []
        while len(found) < limit:
            old, free = await self._database.read(partial(_free_after, before=created_before, after_key=after_key))
            found += free
            if len(old) < VALUES_A_QUERY:
                break
            after_key = old[-1]
        return found[:limit]

    async def remove(self, object_keys: Sequence[str], created_before: datetime) -> Sequence[str]:
        return await self._database.write(partial(remove, object_keys=object_keys, created_before=created_before))

    async def removed(self, limit: int) -> Sequence[str]:
        return await self._database.read(
            lambda connection: connection.execute(_REMOVED, {"most": limit}).scalars().all()
        )

    async def forget_removed(self, object_keys: Sequence[str]) -> None:
        await self._database.write(partial(_forget_removed, object_keys=object_keys))


def _add(connection: Connection, stored: StoredObject, quotas: Quotas, until: datetime | None = None) -> None:
    quotas.check_stored(hold(connection, stored.tenant) + stored.size_bytes)
    insert_objects(connection, [stored], awaited_until=until)


def _get(connection: Connection, tenant: str, object_key: str) -> StoredObject:
    row = connection.execute(_GET, {"of_tenant": tenant, "of_object_key": object_key}).one_or_none()
    if row is None or row.awaited_until is not None:
        raise ObjectNotFound(object_key)
    return rows.to_object(row)


def _reuse(connection: Connection, asked: Mapping[str, str], at: datetime) -> StoredObject | None:
    hold(connection, asked["of_tenant"])
    row = connection.execute(_OF_CONTENT.with_for_update(), asked).one_or_none()
    if row is None:
        return None
    connection.execute(_REJUVENATE, {"of_object_key": row.object_key, "at": at})
    return dataclasses.replace(rows.to_object(row), created_at=at)


def _known(connection: Connection, object_keys: Sequence[str]) -> Collection[str]:
    known: set[str] = set()
    for part in in_parts(object_keys):
        known.update(connection.execute(_OF_ANY_TENANT, {"object_keys": part}).scalars())
    return known


def _digests(connection: Connection, tenant: str, object_keys: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in in_parts(object_keys):
        digests = connection.execute(_DIGESTS, {"of_tenant": tenant, "object_keys": part})
        found.update({row.object_key: row.sha256 for row in digests})
    return found


def _free_after(connection: Connection, before: datetime, after_key: str) -> tuple[Sequence[str], Sequence[str]]:
    """Read the next old objects, and those of them that nothing refers to."""
    old = connection.execute(_OLD, {"before": before, "after_key": after_key}).scalars().all()
    return old, _free(connection, old)


def _free(connection: Connection, object_keys: Sequence[str]) -> list[str]:
    """Of at most `VALUES_A_QUERY` objects those that no item and no outcome refers to."""
    named = {key for query in _REFERENCES for key in connection.execute(query, {"object_keys": object_keys}).scalars()}
    return [key for key in object_keys if key not in named]


def remove(connection: Connection, object_keys: Sequence[str], created_before: datetime) -> Sequence[str]:
    """Do what the port's `remove` says."""
    removed: list[str] = []
    for part in in_parts(sorted(object_keys)):
        hold_all(connection, part)
        # A submission that names one of them holds its row until the items are there to be seen, or comes too late.
        # So does an upload that reuses it.
        there = connection.execute(_LOCK, {"object_keys": part, "before": created_before}).scalars().all()
        free = _free(connection, there)
        count_removed(connection, connection.execute(_DELETE, {"object_keys": free}).all())
        removed += free
    if removed:
        connection.execute(insert(removed_objects), [{"object_key": key} for key in removed])
    return removed


def _forget_removed(connection: Connection, object_keys: Sequence[str]) -> None:
    for part in in_parts(object_keys):
        connection.execute(_FORGET_REMOVED, {"object_keys": part})


_ANY_OF_THESE = objects.c.object_key.in_(bindparam("object_keys", expanding=True))
_OF_TENANT = and_(objects.c.tenant == bindparam("of_tenant"), OF_NO_DELETED_TENANT["objects"])
_GET = select(objects).where(_OF_TENANT, objects.c.object_key == bindparam("of_object_key"))
_OF_CONTENT = (
    select(objects)
    .where(
        _OF_TENANT,
        objects.c.sha256 == bindparam("of_sha256"),
        objects.c.content_type == bindparam("of_content_type"),
    )
    .order_by(objects.c.object_key)
    .limit(1)
)
_REJUVENATE = (
    update(objects).where(objects.c.object_key == bindparam("of_object_key")).values(created_at=bindparam("at"))
)
_COMPLETE = (
    update(objects)
    .where(_OF_TENANT, objects.c.object_key == bindparam("of_object_key"), objects.c.awaited_until.is_not(None))
    .values(sha256=bindparam("now_sha256"), created_at=bindparam("at"), awaited_until=None)
)
_OF_ANY_TENANT = select(objects.c.object_key).where(_ANY_OF_THESE)
_KEYS = (
    select(objects.c.object_key)
    .where(objects.c.object_key > bindparam("after_key"), objects.c.awaited_until.is_(None))
    .order_by(objects.c.object_key)
    .limit(bindparam("most"))
)
_DIGESTS = select(objects.c.object_key, objects.c.sha256).where(
    _OF_TENANT, _ANY_OF_THESE, objects.c.awaited_until.is_(None)
)
_OLD = (
    select(objects.c.object_key)
    .where(objects.c.object_key > bindparam("after_key"), objects.c.created_at < bindparam("before"))
    .order_by(objects.c.object_key)
    .limit(VALUES_A_QUERY)
)
_REFERENCES = [
    select(column).distinct().where(column.in_(bindparam("object_keys", expanding=True)))
    for column in (items.c.object_key, outcomes.c.stored_object_key, outcomes.c.preview_object_key)
]
_LOCK = (
    select(objects.c.object_key)
    .where(_ANY_OF_THESE, objects.c.created_at < bindparam("before"))
    .order_by(objects.c.object_key)
    .with_for_update()
)
_DELETE = delete(objects).where(_ANY_OF_THESE).returning(objects.c.tenant, objects.c.size_bytes)
_REMOVED = select(removed_objects.c.object_key).limit(bindparam("most"))
_FORGET_REMOVED = delete(removed_objects).where(
    removed_objects.c.object_key.in_(bindparam("object_keys", expanding=True))
)
