"""The port `ObjectRows` in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, bindparam, delete, insert, select

from imagebatch_server.batches.errors import ObjectNotFound
from imagebatch_server.batches.model import StoredObject
from imagebatch_server.store import rows
from imagebatch_server.store.database import Database
from imagebatch_server.store.intake import VALUES_A_QUERY, in_parts
from imagebatch_server.store.tables import items, objects, outcomes


class SqlObjectRows:
    """The port `ObjectRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, stored: StoredObject) -> None:
        await self._database.write(partial(_add, stored=stored))

    async def get(self, tenant: str, object_key: str) -> StoredObject:
        return await self._database.read(partial(_get, tenant=tenant, object_key=object_key))

    async def exists(self, object_key: str) -> bool:
        return await self._database.read(partial(_exists, object_key=object_key))

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

    async def remove(self, object_keys: Sequence[str]) -> Sequence[str]:
        return await self._database.write(partial(remove, object_keys=object_keys))


def _add(connection: Connection, stored: StoredObject) -> None:
    connection.execute(insert(objects), rows.from_object(stored))


def _get(connection: Connection, tenant: str, object_key: str) -> StoredObject:
    row = connection.execute(_GET, {"of_tenant": tenant, "of_object_key": object_key}).one_or_none()
    if row is None:
        raise ObjectNotFound(object_key)
    return rows.to_object(row)


def _exists(connection: Connection, object_key: str) -> bool:
    return connection.execute(_OF_ANY_TENANT, {"of_object_key": object_key}).first() is not None


def _digests(connection: Connection, tenant: str, object_keys: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for part in in_parts(object_keys):
        digests = connection.execute(_DIGESTS, {"of_tenant": tenant, "object_keys": part})
        found.update({row.object_key: row.sha256 for row in digests})
    return found


def _free_after(connection: Connection, before: datetime, after_key: str) -> tuple[Sequence[str], Sequence[str]]:
    """The next old objects, and those of them that nothing refers to."""
    old = connection.execute(_OLD, {"before": before, "after_key": after_key}).scalars().all()
    return old, _free(connection, old)


def _free(connection: Connection, object_keys: Sequence[str]) -> list[str]:
    """Of at most `VALUES_A_QUERY` objects those that no item and no outcome refers to."""
    named = {key for query in _REFERENCES for key in connection.execute(query, {"object_keys": object_keys}).scalars()}
    return [key for key in object_keys if key not in named]


def remove(connection: Connection, object_keys: Sequence[str]) -> Sequence[str]:
    """What the port's `remove` says."""
    removed: list[str] = []
    for part in in_parts(sorted(object_keys)):
        # A submission that names one of them holds its row until the items are there to be seen, or comes too late.
        there = connection.execute(_LOCK, {"object_keys": part}).scalars().all()
        free = _free(connection, there)
        connection.execute(_DELETE, {"object_keys": free})
        removed += free
    return removed


_ANY_OF_THESE = objects.c.object_key.in_(bindparam("object_keys", expanding=True))
_OF_TENANT = objects.c.tenant == bindparam("of_tenant")
_GET = select(objects).where(_OF_TENANT, objects.c.object_key == bindparam("of_object_key"))
_OF_ANY_TENANT = select(objects.c.object_key).where(objects.c.object_key == bindparam("of_object_key"))
_DIGESTS = select(objects.c.object_key, objects.c.sha256).where(_OF_TENANT, _ANY_OF_THESE)
_OLD = (
    select(objects.c.object_key)
    .where(objects.c.object_key > bindparam("after_key"), objects.c.created_at < bindparam("before"))
    .order_by(objects.c.object_key)
    .limit(VALUES_A_QUERY)
)
_REFERENCES = [
    select(column).distinct().where(column.in_(bindparam("object_keys", expanding=True)))
    for column in (items.c.object_key, outcomes.c.stored_object_key)
]
_LOCK = select(objects.c.object_key).where(_ANY_OF_THESE).order_by(objects.c.object_key).with_for_update()
_DELETE = delete(objects).where(_ANY_OF_THESE)
