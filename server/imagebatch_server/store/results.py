"""Items with their outcomes, by index or by sequence, as many as fit a budget.

There is one row of each for every result that anybody reads, so they are taken as the driver answers them: SQLAlchemy's
rows and types took as long again as reading. Nothing is joined; see `store.items`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, select
from sqlalchemy.exc import DBAPIError

from imagebatch_server.batches.model import ItemResult
from imagebatch_server.store import rows
from imagebatch_server.store.by_index import in_list, in_range
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import NUMBERED, UtcDateTime, items, outcomes

ROWS_A_READ = 250
"""Rows held at one time besides those that fit a budget: 64 MiB if each has the largest output."""

DENSE = 2
"""Of so many indexes in a range one must be wanted for the range to be read whole, instead of a list."""


def at_indexes(connection: Connection, key: BatchKey, indexes: Sequence[int], max_bytes: int) -> list[ItemResult]:
    """Items by ascending index, with their outcomes; fewer than asked for, but one, if they exceed `max_bytes`."""
    return _fitting(_at_indexes(connection, key, indexes), max_bytes)


def after(connection: Connection, key: BatchKey, sequence: int, limit: int, max_bytes: int) -> list[ItemResult]:
    """Outcomes that follow `sequence`, in sequence order; fewer than there are, but one, if they exceed `max_bytes`."""
    return _fitting(_after(connection, key, sequence, limit), max_bytes)


def _fitting(found: Iterable[ItemResult], max_bytes: int) -> list[ItemResult]:
    fitting: list[ItemResult] = []
    for result in found:
        max_bytes -= result.size_bytes
        if fitting and max_bytes < 0:
            break
        fitting.append(result)
    return fitting


def _at_indexes(connection: Connection, key: BatchKey, indexes: Sequence[int]) -> Iterator[ItemResult]:
    to_time = _time_reader(connection)
    for start in range(0, len(indexes), ROWS_A_READ):
        part = indexes[start : start + ROWS_A_READ]
        recorded = {row[0]: row for row in _OUTCOMES.read(connection, key, part)}
        pairs = [(item, recorded.get(item[0])) for item in _ITEMS.read(connection, key, part)]
        yield from rows.to_item_results(key[1], pairs, to_time)


def _after(connection: Connection, key: BatchKey, sequence: int, limit: int) -> Iterator[ItemResult]:
    to_time = _time_reader(connection)
    while limit > 0:
        most = min(ROWS_A_READ, limit)
        found = _driver_rows(connection, _AFTER, {**parameters(key), "after": sequence, "most": most})
        by_index = {item[0]: item for item in _ITEMS.read(connection, key, sorted(row[0] for row in found), DENSE)}
        yield from rows.to_item_results(key[1], [(by_index[row[0]], row) for row in found], to_time)
        if len(found) < most:
            return
        sequence = found[-1][rows.SEQUENCE]
        limit -= most


class _ByIndex:
    """One batch's rows of a table by index."""

    def __init__(self, table: Table, columns: Sequence[Any]) -> None:
        self.range = in_range(table, columns)
        self.list = in_list(table, columns)

    def read(
        self, connection: Connection, key: BatchKey, indexes: Sequence[int], dense: int = 1
    ) -> Sequence[tuple[Any, ...]]:
        """Read the rows of ascending indexes, and those between them if at least one of `dense` is wanted."""
        if not indexes:
            return ()
        first, last = indexes[0], indexes[-1]
        if last - first < dense * len(indexes):
            return _driver_rows(connection, self.range, {**parameters(key), "first": first, "last": last})
        return _driver_rows(connection, self.list[connection.dialect.name], {**parameters(key), "indexes": indexes})


def _driver_rows(connection: Connection, query: Select[Any], values: dict[str, Any]) -> Sequence[tuple[Any, ...]]:
    result = connection.execute(query, values)
    try:
        return result.cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        # As SQLAlchemy raises it. SQLite looks for rows as they are fetched, and finds only then that one is damaged.
        raise DBAPIError.instance(
            str(query), None, error, connection.dialect.loaded_dbapi.Error, dialect=connection.dialect
        ) from error
    finally:
        result.close()


def _time_reader(connection: Connection) -> rows.TimeReader:
    return UtcDateTime().result_processor(connection.dialect, None)


_ITEMS = _ByIndex(items, rows.ITEM_COLUMNS)
_OUTCOMES = _ByIndex(outcomes, rows.RESULT_COLUMNS)
# Of two lower bounds SQLite seeks the one that it is told first, and steps over all that the other excludes.
_AFTER = (
    select(*rows.RESULT_COLUMNS)
    .where(of_batch(outcomes), outcomes.c.sequence > bindparam("after"), NUMBERED)
    .order_by(outcomes.c.sequence)
    .limit(bindparam("most"))
)
