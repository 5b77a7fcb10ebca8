"""What the driver runs by itself means what SQLAlchemy would have made of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import NOON, at

from imagebatch_server.store.database import Database
from imagebatch_server.store.dialects import time_value
from imagebatch_server.store.driver import COPIED_ROWS, Prepared, insert_rows, together
from imagebatch_server.store.tables import batches, outcomes

MADE = {
    **dict.fromkeys((column.name for column in batches.columns), 0),
    "tenant": "one",
    "batch_id": "b",
    "visible": True,
    "request_id": "it's %s ? \\ 猫",
    "parameters": b"\x00\xff",
    "labels": {"team": "shop"},
    "item_timeout_s": 12.5,
    "skip_duplicates": False,
    "failure_limit": None,
    "lease_until": None,
    "created_at": NOON,
    "started_at": at(1),
    "completed_at": None,
    "cancel_requested_at": None,
    "outcomes_per_s": 0.1,
    "rated_at": None,
    "paused_at": None,
    "waiting": None,
    **dict.fromkeys(
        ("content_sha256", "operation", "status", "owner", "output_prefix", "traceparent", "notify_url"), "x"
    ),
}
INSERT = Prepared(insert(batches).returning(batches))
SELECT = Prepared(select(batches).where(batches.c.batch_id == bindparam("of_batch_id")))


async def test_values_come_back_as_they_were_given_and_as_sqlalchemy_reads_them(database: Database) -> None:
    def go(connection: Connection) -> list[Any]:
        inserted = INSERT.run(connection, MADE).one()
        selected = SELECT.run(connection, {"of_batch_id": "b"}).one()
        return [inserted._asdict(), selected._asdict(), dict(connection.execute(select(batches)).one()._mapping)]

    assert await database.write(go) == [MADE, MADE, MADE]


async def test_defaults_of_columns_stand_where_no_value_is_given(database: Database) -> None:
    def go(connection: Connection) -> Any:
        given = {name: value for name, value in MADE.items() if batches.c[name].default is None}
        return Prepared(insert(batches).returning(batches)).run(connection, given).one()._asdict()

    assert await database.write(go) == MADE


async def test_no_row_is_none(database: Database) -> None:
    assert await database.write(lambda it: SELECT.run(it, {"of_batch_id": "none"}).one_or_none()) is None


@pytest.mark.parametrize("count", [1, 5, COPIED_ROWS - 1, COPIED_ROWS, 300])
async def test_rows_are_the_same_however_many_are_inserted(database: Database, count: int) -> None:
    def row(connection: Connection, index: int) -> tuple[Any, ...]:
        names = [column.name for column in outcomes.columns]
        given = {"tenant": "one", "batch_id": "b", "item_index": index, "sequence": index + 1, "status": "success"}
        given |= {"completed_at": time_value(connection, at(index)), "output_data": bytes([index % 256])}
        given |= {
            "error_message": "%s ? 猫" if index % 2 else None,
            "attempts": 1,
            "input_tokens": 2,
            "output_tokens": 3,
        }
        return tuple({**dict.fromkeys(names), **given}[name] for name in names)

    def go(connection: Connection) -> tuple[Any, ...]:
        insert_rows(connection, outcomes, [row(connection, index) for index in range(count)])
        return tuple(connection.execute(select(outcomes).order_by(outcomes.c.item_index)).all())

    found = await database.write(go)
    assert [(it.item_index, it.completed_at, it.error_message) for it in found] == [
        (index, at(index), "%s ? 猫" if index % 2 else None) for index in range(count)
    ]


async def test_what_fails_among_several_statements_undoes_them_all(database: Database) -> None:
    def go(connection: Connection) -> None:
        with together(connection):
            INSERT.run(connection, MADE)
            INSERT.run(connection, MADE)

    with pytest.raises(IntegrityError):
        await database.write(go)
    assert await database.write(lambda it: SELECT.run(it, {"of_batch_id": "b"}).one_or_none()) is None
    await database.write(lambda it: INSERT.run(it, MADE).one())  # the connection goes on
