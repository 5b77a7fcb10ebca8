"""What every batch and every outcome needs, run by the driver itself.

SQLAlchemy makes the statements, once. Running them, it takes longer than the databases do: 70 us a statement when it is
run again and again, and 200 when it is run now and then, of which a single item has a dozen.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ReturnsRows

ROWS_A_STATEMENT = (256, 64, 16, 4, 1)
"""How many rows one statement inserts: as many as there are of the largest size first.

SQLite's driver gives up the interpreter's lock once a statement, and while another thread computes, it waits 5 ms to
have it back. Row by row a thousand rows took over a second next to a busy event loop; so they take 30 ms.
"""

COPIED_ROWS = 16
"""From so many rows on PostgreSQL copies: for fewer, the two round trips of a COPY take longer than what it saves."""


class Prepared:
    """A statement, or one for each dialect, that is run with values of the same names every time.

    It must have no lists of values (`IN`), whose lengths would change its text.
    """

    def __init__(self, statement: ReturnsRows | Mapping[str, ReturnsRows]) -> None:
        self.statement: Any = statement
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, values: Mapping[str, Any]) -> Answer:
        """Run it in the connection's transaction. Raises DBAPIError, and so does reading its answer."""
        compiled = self._compiled.get(connection.dialect.name) or self._compile(connection.dialect, values)
        cursor = _execute(connection, compiled.text, compiled.parameters(values))
        return Answer(connection, compiled, cursor)

    def _compile(self, dialect: Dialect, values: Mapping[str, Any]) -> _Compiled:
        statement = self.statement if isinstance(self.statement, ReturnsRows) else self.statement[dialect.name]
        compiled = self._compiled[dialect.name] = _Compiled(statement, dialect, values)
        return compiled


class Answer:
    """The row that a statement answers, if it does, which can be read once, and after other statements too."""

    def __init__(self, connection: Connection, compiled: _Compiled, cursor: Any) -> None:
        self._connection = connection
        self._compiled = compiled
        self._cursor = cursor

    def one_or_none(self) -> Any:
        """Answer the only row, whose values have the names of its columns; None if there is no row."""
        with _errors(self._connection, self._compiled.text):
            found = self._cursor.fetchall()
        if not found:
            return None
        [values] = found
        return self._compiled.row(values, self._cursor)

    def one(self) -> Any:
        """Answer the only row, of a statement that has one whatever there is."""
        return self.one_or_none()


@contextmanager
def together(connection: Connection, *, rows: int = 0) -> Iterator[None]:
    """Send PostgreSQL the statements of the block in one go, but for those whose answers are read within it.

    Only what this module runs may be in it. `rows` is how many are inserted at most: a COPY goes by itself.
    """
    if connection.dialect.name != "postgresql" or rows >= COPIED_ROWS:
        yield
        return
    driver_connection: Any = connection.connection.driver_connection
    with _errors(connection, "several statements"), driver_connection.pipeline():
        yield


def execute(connection: Connection, statement: str, parameters: Any = ()) -> Any:
    """Run a statement of the driver's own kind, and answer its cursor; no transaction is begun. Raises DBAPIError."""
    with _errors(connection, statement):
        cursor = connection.connection.cursor()
        cursor.execute(statement, parameters)
    return cursor


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert whole rows. Values stand in the order of the table's columns.

    They go to the driver as they are: times must come from `dialects.time_value`.
    """
    if connection.dialect.name == "postgresql" and len(rows) >= COPIED_ROWS:
        _copy(connection, table, rows)
        return
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    first = 0
    for size in ROWS_A_STATEMENT:
        after = len(rows) - (len(rows) - first) % size
        for start in range(first, after, size):
            values = tuple(chain.from_iterable(rows[start : start + size]))
            _execute(connection, _insert_statement(table, size, mark), values)
        first = after


class _Compiled:
    """A statement as one dialect has it."""

    def __init__(self, statement: ReturnsRows, dialect: Dialect, values: Mapping[str, Any]) -> None:
        table: Any = getattr(statement, "table", None)
        usual = {}
        if getattr(statement, "is_insert", False):
            usual = {it.name: it.default.arg for it in table.columns if it.default is not None}
        compiled: Any = statement.compile(dialect=dialect, column_keys=[*{**usual, **values}])
        self.text = compiled.string
        self._dialect = dialect
        self._usual = {**compiled.params, **usual}
        self._order = compiled.positiontup
        self._bound = [
            (name, processor)
            for name, bind in compiled.binds.items()
            if name in self._usual and (processor := bind.type.dialect_impl(dialect).bind_processor(dialect))
        ]
        self._columns = [(column.name, column.type) for column in statement.exported_columns]
        self._row: Callable[[Sequence[Any]], Any] | None = None

    def parameters(self, values: Mapping[str, Any]) -> Any:
        """Make what the driver takes."""
        found = {**self._usual, **values}
        for name, processor in self._bound:
            found[name] = processor(found[name])
        return found if self._order is None else [found[name] for name in self._order]

    def row(self, values: Sequence[Any], cursor: Any) -> Any:
        """Make a row of what the driver's cursor answers."""
        if self._row is None:
            self._row = self._reader([column[1] for column in cursor.description])
        return self._row(values)

    def _reader(self, driver_types: Sequence[Any]) -> Callable[[Sequence[Any]], Any]:
        names = [name for name, _ in self._columns]
        row: Any = namedtuple("Row", names)  # type: ignore[misc]  # noqa: PYI024 - the statement has the names
        readers = []
        for place, ((_, kind), driver_type) in enumerate(zip(self._columns, driver_types, strict=True)):
            if reader := kind.dialect_impl(self._dialect).result_processor(self._dialect, driver_type):
                readers.append((place, reader))

        def read(values: Sequence[Any]) -> Any:
            found = list(values)
            for place, reader in readers:
                found[place] = reader(found[place])
            return row._make(found)

        return read


def _execute(connection: Connection, statement: str, parameters: Any) -> Any:
    if not connection.in_transaction():
        connection.begin()
    return execute(connection, statement, parameters)


@contextmanager
def _errors(connection: Connection, statement: str) -> Iterator[None]:
    """Raise what the driver raises as SQLAlchemy would, had it run the statement."""
    kind = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except kind as error:
        driver_connection: Any = connection.connection.driver_connection
        if connection.dialect.is_disconnect(error, driver_connection, None):
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, kind, connection_invalidated=connection.invalidated, dialect=connection.dialect
        ) from error


@cache
def _insert_statement(table: Table, size: int, mark: str) -> str:
    columns, row = ", ".join(table.columns.keys()), f"({', '.join([mark] * len(table.columns))})"
    return f"INSERT INTO {table.name} ({columns}) VALUES {', '.join([row] * size)}"  # noqa: S608 - names of our tables


def _copy(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    statement, types = _copy_statement(table)
    driver_connection: Any = connection.connection.driver_connection
    with _errors(connection, statement), driver_connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        for row in rows:
            copy.write_row(row)


@cache
def _copy_statement(table: Table) -> tuple[str, list[str]]:
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    types = [column.type.compile(dialect).lower() for column in table.columns]
    return f"COPY {table.name} ({', '.join(table.columns.keys())}) FROM STDIN (FORMAT BINARY)", types
