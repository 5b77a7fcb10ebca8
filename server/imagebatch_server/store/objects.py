"""The port `ObjectRows` in SQL."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection, bindparam, insert, select

from imagebatch_server.batches.errors import ObjectNotFound
from imagebatch_server.batches.model import StoredObject
from imagebatch_server.store import rows
from imagebatch_server.store.database import Database
from imagebatch_server.store.tables import objects


class SqlObjectRows:
    """The port `ObjectRows`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, stored: StoredObject) -> None:
        await self._database.write(partial(_add, stored=stored))

    async def get(self, tenant: str, object_key: str) -> StoredObject:
        return await self._database.read(partial(_get, tenant=tenant, object_key=object_key))


def _add(connection: Connection, stored: StoredObject) -> None:
    connection.execute(insert(objects), rows.from_object(stored))


def _get(connection: Connection, tenant: str, object_key: str) -> StoredObject:
    row = connection.execute(_GET, {"of_tenant": tenant, "of_object_key": object_key}).one_or_none()
    if row is None:
        raise ObjectNotFound(object_key)
    return rows.to_object(row)


_GET = select(objects).where(
    objects.c.tenant == bindparam("of_tenant"), objects.c.object_key == bindparam("of_object_key")
)
