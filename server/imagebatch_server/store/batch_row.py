"""Reading one batch's row."""

from __future__ import annotations

from sqlalchemy import Connection, select, text

from imagebatch_server.batches.errors import BatchNotFound
from imagebatch_server.batches.model import Batch
from imagebatch_server.store import rows
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import batches
from imagebatch_server.store.tenant_rows import OF_NO_DELETED_TENANT


def read_batch(connection: Connection, key: BatchKey, *, lock: bool = False) -> Batch:
    """One batch, which nobody else changes until the transaction ends, if `lock`. Raises BatchNotFound."""
    row = connection.execute(_LOCKED if lock else _BATCH, parameters(key)).one_or_none()
    if row is None:
        raise BatchNotFound(key[1])
    return rows.to_batch(row)


_BATCH = select(batches).where(of_batch(batches), text("visible"), OF_NO_DELETED_TENANT["batches"])
_LOCKED = _BATCH.with_for_update()
