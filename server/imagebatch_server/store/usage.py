"""What tenants use, by day and operation: added to by the recorder's transaction, and kept when batches go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from imagebatch_server.batches.model import Batch, DailyUsage
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.driver import Prepared
from imagebatch_server.store.tables import usage
from imagebatch_server.store.tenant_rows import OF_NO_DELETED_TENANT


class Usage(NamedTuple):
    """What outcomes of a batch add to it."""

    items: int
    processing_time_ms: int
    image_bytes: int
    input_tokens: int
    output_tokens: int


def add_usage(connection: Connection, recorded: Iterable[tuple[Batch, Usage]], at: datetime) -> None:
    """Add what came of batches to the usage of the day, in one order, so that two servers never lock rows crosswise."""
    sums: dict[tuple[str, str], Counter[str]] = {}
    for batch, used in recorded:
        if used.items:
            sums.setdefault((batch.tenant, batch.options.operation), Counter()).update(used._asdict())
    if sums:
        day = at.astimezone(UTC).date()
        for (tenant, operation), added in sorted(sums.items()):
            _ADD.run(connection, {"tenant": tenant, "day": day, "operation": operation, **added})


def read_usage(connection: Connection, tenant: str, day_from: date, day_before: date) -> Sequence[DailyUsage]:
    """Do what the port's `usage` says."""
    values = {"of_tenant": tenant, "day_from": day_from, "day_before": day_before}
    return [DailyUsage(*row) for row in connection.execute(_READ, values)]


_SUMS = Usage._fields
_INSERT = {dialect: insert(usage) for dialect, insert in INSERTS.items()}
_ADD = Prepared(
    {
        dialect: insert.on_conflict_do_update(
            index_elements=["tenant", "day", "operation"],
            set_={name: usage.c[name] + insert.excluded[name] for name in _SUMS},
        )
        for dialect, insert in _INSERT.items()
    }
)
_READ = (
    select(usage.c.day, usage.c.operation, *[usage.c[name] for name in _SUMS])
    .where(
        usage.c.tenant == bindparam("of_tenant"),
        OF_NO_DELETED_TENANT["usage"],
        usage.c.day >= bindparam("day_from"),
        usage.c.day < bindparam("day_before"),
    )
    .order_by(usage.c.day, usage.c.operation)
)
