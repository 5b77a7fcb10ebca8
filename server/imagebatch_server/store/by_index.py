"""Statements that read one batch's rows of a table by ascending index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ARRAY, Integer, Select, Table, bindparam, func, select, true

from imagebatch_server.store.keys import of_batch


def in_range(table: Table, columns: Sequence[Any]) -> Select[Any]:
    """Make the statement for all indexes from `first` to `last`."""
    between = table.c.item_index.between(bindparam("first"), bindparam("last"))
    return select(*columns).where(of_batch(table), between).order_by(table.c.item_index)


def in_list(table: Table, columns: Sequence[Any]) -> Mapping[str, Select[Any]]:
    """Make the statement for the `indexes` of a list, by dialect."""
    query = select(*columns).where(of_batch(table))
    listed = table.c.item_index.in_(bindparam("indexes", expanding=True))
    return {"sqlite": query.where(listed).order_by(table.c.item_index), "postgresql": _one_by_one(table, query)}


def _one_by_one(table: Table, query: Select[Any]) -> Select[Any]:
    """Look each index up by itself.

    PostgreSQL takes a batch that it has no statistics of for one row, and looks for a list among all rows of it; the
    OFFSET keeps it from making this the same query.
    """
    wanted = func.unnest(bindparam("indexes", type_=ARRAY(Integer))).table_valued("item_index").render_derived()
    found = query.where(table.c.item_index == wanted.c.item_index).offset(0).lateral()
    return select(found).select_from(wanted.join(found, true())).order_by(found.c.item_index)
