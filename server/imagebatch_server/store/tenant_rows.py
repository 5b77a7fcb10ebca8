"""The rows of tenants: who adds to what a quota bounds holds the tenant's row until its transaction ends.

They are locked after batches and before objects, and several in the order of their names, so that no two transactions
wait for each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, text

from imagebatch_server.batches.errors import TenantDeleted
from imagebatch_server.batches.model import StoredObject
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.store import rows
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.driver import Answer, Prepared
from imagebatch_server.store.tables import RUNNING, batches, objects, tenants, usage

OF_NO_DELETED_TENANT = {
    table.name: text(
        f"NOT EXISTS (SELECT 1 FROM tenants WHERE tenants.tenant = {table.name}.tenant AND deleted_at IS NOT NULL)"  # noqa: S608 - names of our tables
    )
    for table in (batches, objects, usage)
}
"""Of rows that callers may see, by table."""


def check_room(connection: Connection, tenant: str, quotas: Quotas, *, new_items: int) -> None:
    """Make sure that a tenant may have one running batch more, with so many items.

    Nobody else takes the room until the transaction ends. Raises TenantDeleted, LimitExceeded.
    """
    room = Room(connection, tenant, quotas)
    room.ensure_tenant()
    room.check(new_items=new_items)


class Room:
    """What a tenant has of what its quotas bound. Nobody else takes more until the transaction ends."""

    def __init__(self, connection: Connection, tenant: str, quotas: Quotas) -> None:
        """Lock the tenant's row and ask; what is answered is read by `check`, so this may be in `driver.together`."""
        self._tenant = tenant
        self._quotas = quotas
        self._held = _move(connection, tenant, 0)
        self._running = _COUNT_RUNNING.run(connection, {"of_tenant": tenant})
        self._waiting: Answer | None = None
        if quotas.max_waiting_items is not None:
            self._waiting = _COUNT_WAITING.run(connection, {"of_tenant": tenant})

    def ensure_tenant(self) -> None:
        """Raise TenantDeleted if the tenant is."""
        self._stored_bytes = _stored_bytes(self._held, self._tenant)

    def check(self, *, new_items: int, new_bytes: int = 0) -> None:
        """Make sure that there is room for one running batch more, with so many items and bytes; once `ensure_tenant`.

        Raises LimitExceeded.
        """
        self._quotas.check_running(self._running.one().running)
        if self._waiting is not None:
            self._quotas.check_waiting(self._waiting.one().waiting, new_items)
        if new_bytes:
            self._quotas.check_stored(self._stored_bytes + new_bytes)


def hold(connection: Connection, tenant: str) -> int:
    """Lock a tenant's row, and answer the bytes that are stored. Raises TenantDeleted."""
    return _stored_bytes(_move(connection, tenant, 0), tenant)


def insert_objects(
    connection: Connection, new_objects: Sequence[StoredObject], *, awaited_until: datetime | None = None
) -> None:
    """Insert rows of objects, and count their bytes, those that are still awaited too."""
    if not new_objects:
        return
    added: Counter[str] = Counter()
    for stored in new_objects:
        added[stored.tenant] += stored.size_bytes
    for tenant, size_bytes in sorted(added.items()):
        _move(connection, tenant, size_bytes).one()
    found = [{**rows.from_object(stored), "awaited_until": awaited_until} for stored in new_objects]
    connection.execute(insert(objects), found)


def hold_all(connection: Connection, object_keys: Sequence[str]) -> None:
    """Lock the rows of the tenants whose objects these are."""
    for tenant in connection.execute(_TENANTS_OF, {"object_keys": object_keys}).scalars().all():
        _move(connection, tenant, 0).one()


def count_removed(connection: Connection, removed: Sequence[Any]) -> None:
    """Count the bytes of objects that were removed no more; of each its tenant and its size are given."""
    gone: Counter[str] = Counter()
    for row in removed:
        gone[row.tenant] += row.size_bytes
    for tenant, size_bytes in sorted(gone.items()):
        _move(connection, tenant, -size_bytes).one()


def read_stored_bytes(connection: Connection, tenant: str) -> int:
    """Read how many bytes are stored for a tenant."""
    return connection.execute(_STORED_BYTES, {"of_tenant": tenant}).scalar_one_or_none() or 0


def _move(connection: Connection, tenant: str, by_bytes: int) -> Answer:
    return _MOVE.run(connection, {"tenant": tenant, "stored_bytes": by_bytes})


def _stored_bytes(held: Answer, tenant: str) -> int:
    row = held.one()
    if row.deleted_at is not None:
        raise TenantDeleted(tenant)
    stored_bytes: int = row.stored_bytes
    return stored_bytes


_INSERT = {dialect: insert(tenants) for dialect, insert in INSERTS.items()}
_MOVE = Prepared(
    {
        dialect: insert.on_conflict_do_update(
            index_elements=["tenant"], set_={"stored_bytes": tenants.c.stored_bytes + insert.excluded.stored_bytes}
        ).returning(tenants.c.stored_bytes, tenants.c.deleted_at)
        for dialect, insert in _INSERT.items()
    }
)
_OF_TENANT = batches.c.tenant == bindparam("of_tenant")
_COUNT_RUNNING = Prepared(select(func.count().label("running")).select_from(batches).where(_OF_TENANT, RUNNING))
_OPEN_ITEMS = batches.c.total_items - batches.c.successful_items - batches.c.failed_items - batches.c.skipped_items
_COUNT_WAITING = Prepared(select(func.coalesce(func.sum(_OPEN_ITEMS), 0).label("waiting")).where(_OF_TENANT, RUNNING))
_TENANTS_OF = (
    select(objects.c.tenant)
    .distinct()
    .where(objects.c.object_key.in_(bindparam("object_keys", expanding=True)))
    .order_by(objects.c.tenant)
)
_STORED_BYTES = select(tenants.c.stored_bytes).where(tenants.c.tenant == bindparam("of_tenant"))
