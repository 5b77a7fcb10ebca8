"""The port `NotificationStore` in SQL, and the row that the end of a batch leaves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, exists, insert, select, tuple_, update

from imagebatch.v1.enums import NotificationState
from imagebatch_server.batches.model import Batch, Notification, NotificationProgress
from imagebatch_server.batches.notifications import body_of
from imagebatch_server.store.database import Database
from imagebatch_server.store.keys import of_batch, parameters
from imagebatch_server.store.tables import UNTOLD, UtcDateTime, notifications, tenants
from imagebatch_server.urls import host_of


def insert_notification(connection: Connection, batch: Batch, at: datetime) -> None:
    """Leave a notification of the batch's end, in the transaction that ends it."""
    notify_url = batch.options.notify_url or ""
    connection.execute(
        _INSERT,
        {
            "tenant": batch.tenant,
            "batch_id": batch.batch_id,
            "last_sequence": batch.last_sequence,
            "notify_url": notify_url,
            "host": host_of(notify_url),
            "body": body_of(batch),
            "state": NotificationState.PENDING.value,
            "attempts": 0,
            "next_at": at,
        },
    )


class SqlNotifications:
    """The port `NotificationStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(
        self, now: datetime, until: datetime, busy_hosts: Collection[str], limit: int
    ) -> Sequence[Notification]:
        values = {"now": now, "until": until, "busy_hosts": list(busy_hosts), "most": limit}

        def work(connection: Connection) -> Sequence[Notification]:
            if connection.execute(_ARE_DUE, {"now": now}).scalar_one():
                return [Notification(*row) for row in connection.execute(_CLAIM, values)]
            return []

        return await self._database.write(work)

    async def settle(self, notification: Notification, progress: NotificationProgress) -> None:
        values = {
            **parameters((notification.tenant, notification.batch_id)),
            "of_last_sequence": notification.last_sequence,
            "of_attempts": notification.attempts,
            "to_state": progress.state.value,
            "status": progress.last_http_status,
            "at": progress.next_at,
        }
        await self._database.write(lambda connection: connection.execute(_SETTLE, values))

    async def progress(self, tenant: str, batch_id: str) -> NotificationProgress | None:
        key = parameters((tenant, batch_id))
        row = await self._database.read(lambda connection: connection.execute(_LAST, key).one_or_none())
        if row is None:
            return None
        state = NotificationState(row.state)
        next_at = row.next_at if state is NotificationState.PENDING else None
        return NotificationProgress(state, row.attempts, row.last_http_status, next_at)


_INSERT = insert(notifications)
_KEY = (notifications.c.tenant, notifications.c.batch_id, notifications.c.last_sequence)
_DUE = and_(UNTOLD, notifications.c.next_at <= bindparam("now", type_=UtcDateTime()))
_ARE_DUE = select(exists().where(_DUE))
_CLAIM = (
    update(notifications)
    .where(
        tuple_(*_KEY).in_(
            select(*_KEY)
            .where(
                _DUE,
                notifications.c.host.not_in(bindparam("busy_hosts", expanding=True)),
                ~exists().where(tenants.c.tenant == notifications.c.tenant, tenants.c.deleted_at.is_not(None)),
            )
            .order_by(notifications.c.next_at)
            .limit(bindparam("most"))
            .with_for_update(skip_locked=True, of=notifications)
        ),
        _DUE,
    )
    .values(attempts=notifications.c.attempts + 1, next_at=bindparam("until", type_=UtcDateTime()))
    .returning(*_KEY, notifications.c.notify_url, notifications.c.host, notifications.c.body, notifications.c.attempts)
)
_SETTLE = (
    update(notifications)
    .where(
        of_batch(notifications),
        notifications.c.last_sequence == bindparam("of_last_sequence"),
        notifications.c.attempts == bindparam("of_attempts"),
    )
    .values(
        state=bindparam("to_state"),
        last_http_status=bindparam("status"),
        next_at=bindparam("at", type_=UtcDateTime()),
    )
)
_LAST = select(notifications).where(of_batch(notifications)).order_by(notifications.c.last_sequence.desc()).limit(1)
