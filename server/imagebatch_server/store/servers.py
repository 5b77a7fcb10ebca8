"""Rows of servers: each writes its own, and reads which live. By PostgreSQL's clock alone, whatever theirs say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, not_, select, text
from sqlalchemy.dialects.postgresql import insert

from imagebatch_server.batches.model import LiveServer, Load, TenantCalls
from imagebatch_server.store.server_lock import LIFE_SPACE
from imagebatch_server.store.tables import servers


@dataclass(frozen=True, slots=True)
class ServerName:
    """What a server says of itself once. `number` names its lock; that two have one is as unlikely as harmless."""

    server_id: str
    number: int
    version: str
    operations: Sequence[str]


def renew(
    session: Connection, name: ServerName, *, ttl_s: float, load: Load, draining: bool
) -> tuple[float, Sequence[LiveServer]]:
    """Renew a server's lease, or take its first; answers when that was, and the servers that live, the oldest first.

    `session` commits each statement.
    """
    renewed_at = session.execute(
        _RENEW,
        {
            "server_id": name.server_id,
            "version": name.version,
            "lock_number": name.number,
            "operations": list(name.operations),
            "workers": load.workers,
            "waiting_items": load.waiting_items,
            "draining": draining,
            "calls": {tenant: [calls.asked_per_s, calls.taken] for tenant, calls in load.calls.items()},
            "ttl_s": ttl_s,
        },
    ).scalar_one()
    return renewed_at.timestamp(), [_live_server(*row) for row in session.execute(_LIVING)]


def _live_server(
    server_id: str,
    operations: Sequence[str],
    workers: int,
    waiting_items: int,
    draining: bool,
    calls: Mapping[str, tuple[float, int]] | None,
) -> LiveServer:
    told = {tenant: TenantCalls(*figures) for tenant, figures in (calls or {}).items()}
    return LiveServer(server_id, operations, workers, waiting_items, draining, told)


def tidy(session: Connection) -> float:
    """Remove the rows of servers that are long gone; answers for how long PostgreSQL has been up (seconds)."""
    session.execute(_REMOVE_OLD)
    return float(session.execute(_UP_FOR_S).scalar_one())


def remove(session: Connection, server_id: str) -> None:
    """Remove the row of a server that stops."""
    session.execute(_REMOVE, {"gone": server_id})


def is_left(owner: ColumnElement[str], dialect: str, *, own: str) -> ColumnElement[bool]:
    """Tell whether an owner neither lives nor is the server that looks, whose name the parameter `own` has.

    Right after a restart of PostgreSQL nobody's lock is there, and a server whose own is not tells nobody dead. On
    SQLite nobody else lives: the only server needs no row.
    """
    is_other = owner != bindparam(own)
    if dialect == "sqlite":
        return is_other
    names = select(servers.c.server_id)
    own_row = names.where(servers.c.server_id == bindparam(own))
    own_is_seen = own_row.where(_LIVES).exists() | not_(own_row.exists())
    return is_other & own_is_seen & owner.not_in(names.where(_LIVES))


# A crash frees the lock at once, a freeze ends the lease.
_LIVES = text("""
    servers.lease_until > clock_timestamp() AND EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid = :space AND objid = CAST(lock_number AS oid)
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
""").bindparams(bindparam("space", LIFE_SPACE))
_NOW = func.clock_timestamp()
_LEASE_UNTIL = _NOW + func.make_interval(0, 0, 0, 0, 0, 0, bindparam("ttl_s"))
_WRITTEN = ("workers", "waiting_items", "draining", "calls")
_NEW = insert(servers).values(
    {name: bindparam(name) for name in ("server_id", "version", "lock_number", "operations", *_WRITTEN)}
    | {"started_at": _NOW, "renewed_at": _NOW, "lease_until": _LEASE_UNTIL}
)
_RENEW = _NEW.on_conflict_do_update(
    index_elements=["server_id"],
    set_={name: _NEW.excluded[name] for name in (*_WRITTEN, "renewed_at", "lease_until")},
).returning(servers.c.renewed_at)
_LIVING = (
    select(*(servers.c[name] for name in ("server_id", "operations", *_WRITTEN)))
    .where(_LIVES)
    .order_by(servers.c.started_at, servers.c.server_id)
)
_REMOVE = delete(servers).where(servers.c.server_id == bindparam("gone"))
_REMOVE_OLD = delete(servers).where(text("lease_until < clock_timestamp() - interval '1 hour'"))
_UP_FOR_S = text("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
