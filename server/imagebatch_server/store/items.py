"""Items by index, and which indexes have no outcome.

No query here joins tables. PostgreSQL takes a batch of a million rows that it has no statistics of for one row, and
then joins by reading the whole batch once for every item; a range on one index can't go wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, bindparam, func, select

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.model import Item
from imagebatch_server.store import rows
from imagebatch_server.store.by_index import in_list, in_range
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import UNSUCCESSFUL, items, outcomes

INDEXES_A_READ = 10_000
"""Indexes that are looked through at one time for those without an outcome."""


def items_at(connection: Connection, key: BatchKey, indexes: Sequence[int]) -> list[Item]:
    """Items by ascending index; indexes that don't exist are left out."""
    return [rows.to_item(row) for row in _at(connection, _ITEMS, key, indexes)]


def recorded_indexes(
    connection: Connection, key: BatchKey, statuses: Sequence[str], offset: int, limit: int
) -> list[int]:
    """Indexes of the items whose outcome has one of these statuses, ascending."""
    values = {**parameters(key), "statuses": statuses, "skipped": offset, "most": limit}
    return list(connection.execute(_RECORDED.of(statuses), values).scalars())


def recorded_statuses(connection: Connection, key: BatchKey, indexes: Sequence[int]) -> dict[int, str]:
    """Of these ascending indexes those that have an outcome, with its status."""
    return {row.item_index: row.status for row in _at(connection, _STATUSES, key, indexes)}


def unrecorded_indexes(
    connection: Connection,
    key: BatchKey,
    indexes: range,
    offset: int,
    limit: int,
    *,
    statuses: Sequence[str] | None = None,
) -> list[int]:
    """Of these indexes those without an outcome, or without an outcome of one of these statuses, ascending.

    Indexes are dense, so it is enough to look at what is there: the ones between are those that are not.
    """
    found: list[int] = []
    for start in range(0, len(indexes), INDEXES_A_READ):
        part = indexes[start : start + INDEXES_A_READ]
        values = {**parameters(key), "first": part[0], "last": part[-1], "statuses": statuses}
        present = connection.execute(_COUNT if statuses is None else _COUNT_STATUSES.of(statuses), values).scalar_one()
        absent = len(part) - present
        if absent <= offset:
            offset -= absent
            continue
        missing: Sequence[int] = part
        if present:
            taken = connection.execute(
                _PRESENT if statuses is None else _PRESENT_STATUSES.of(statuses), values
            ).scalars()
            missing = sorted(set(part).difference(taken))
        found.extend(missing[offset : offset + limit - len(found)])
        offset = 0
        if len(found) == limit:
            break
    return found


class _ByIndex:
    """A query of one batch's rows by index: a range where the indexes follow one another, else a list."""

    def __init__(self, table: Table, columns: Sequence[Any]) -> None:
        self.range = in_range(table, columns)
        self.list = in_list(table, columns)


class _ByStatus:
    """A query of outcomes with the parameter `statuses`."""

    def __init__(self, query: Select[Any]) -> None:
        self._any = query.where(outcomes.c.status.in_(bindparam("statuses", expanding=True)))
        self._unsuccessful = self._any.where(UNSUCCESSFUL)

    def of(self, statuses: Sequence[str]) -> Select[Any]:
        """Make the query go by the index of what was not successful, if that is all it asks for."""
        return self._any if BatchItemStatus.SUCCESS.value in statuses else self._unsuccessful


def _at(connection: Connection, query: _ByIndex, key: BatchKey, indexes: Sequence[int]) -> Sequence[Row[Any]]:
    if not indexes:
        return ()
    values = parameters(key)
    if indexes[-1] - indexes[0] + 1 == len(indexes):
        return connection.execute(query.range, {**values, "first": indexes[0], "last": indexes[-1]}).all()
    return connection.execute(query.list[connection.dialect.name], {**values, "indexes": indexes}).all()


def _in_range(table: Table) -> Any:
    return table.c.item_index.between(bindparam("first"), bindparam("last"))


_ITEMS = _ByIndex(items, rows.ITEM_COLUMNS)
_STATUSES = _ByIndex(outcomes, [outcomes.c.item_index, outcomes.c.status])
_COUNT = select(func.count()).select_from(outcomes).where(of_batch(outcomes), _in_range(outcomes))
_COUNT_STATUSES = _ByStatus(_COUNT)
_PRESENT = select(outcomes.c.item_index).where(of_batch(outcomes), _in_range(outcomes))
_PRESENT_STATUSES = _ByStatus(_PRESENT)
_RECORDED = _ByStatus(
    select(outcomes.c.item_index)
    .where(of_batch(outcomes))
    .order_by(outcomes.c.item_index)
    .offset(bindparam("skipped"))
    .limit(bindparam("most"))
)
