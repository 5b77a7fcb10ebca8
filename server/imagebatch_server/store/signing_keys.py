"""The port `SigningKeys` in SQL."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select, text

from imagebatch_server.batches.model import SigningKey
from imagebatch_server.store.database import Database
from imagebatch_server.store.tables import UtcDateTime, signing_keys


class SqlSigningKeys:
    """The port `SigningKeys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self) -> Sequence[SigningKey]:
        rows = await self._database.read(lambda connection: connection.execute(_ALL).all())
        return [SigningKey(row.number, row.secret, row.created_at) for row in rows]

    async def add(self, key: SigningKey) -> None:
        values = {"number": key.number, "secret": key.secret, "created_at": key.created_at}
        await self._database.write(lambda connection: connection.execute(_ADD, values))

    async def remove(self, numbers: Sequence[int]) -> None:
        await self._database.write(lambda connection: connection.execute(_REMOVE, {"numbers": numbers}))


_ALL = select(signing_keys).order_by(signing_keys.c.number)
_ADD = text(
    "INSERT INTO signing_keys (number, secret, created_at) VALUES (:number, :secret, :created_at) "
    "ON CONFLICT DO NOTHING"
).bindparams(bindparam("created_at", type_=UtcDateTime()))
_REMOVE = delete(signing_keys).where(signing_keys.c.number.in_(bindparam("numbers", expanding=True)))
