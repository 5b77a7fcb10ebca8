"""Items by what came of them: an error code, or a text in a message or an output.

No index has the texts, so all outcomes that the other conditions leave are read. For a large batch that takes seconds,
so it is done in parts: others have their turn in between, and where the caller has gone, none follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, Select, and_, bindparam, cast, func, or_, select

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server import structs
from imagebatch_server.batches.model import Batch, ItemFilter
from imagebatch_server.store.item_ids import named_indexes
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.results import ROWS_A_READ
from imagebatch_server.store.tables import UNSUCCESSFUL, outcomes

ITEMS_A_PART = 20_000
"""Of one read that looks for a text: some tenths of a second at most."""


def found_indexes(
    connection: Connection,
    key: BatchKey,
    batch: Batch,
    match: ItemFilter,
    statuses: Sequence[str],
    offset: int,
    limit: int,
) -> tuple[int, list[int]]:
    """How many outcomes have one of the error codes, and the indexes of those on the page.

    `statuses` are those that may.
    """
    chosen = _chosen(connection, key, batch, match, statuses)
    values = {**parameters(key), "skipped": offset, "most": limit}
    total = connection.execute(select(func.count()).select_from(outcomes).where(chosen), values).scalar_one()
    page = select(outcomes.c.item_index).where(chosen).order_by(outcomes.c.item_index)
    indexes = connection.execute(page.offset(bindparam("skipped")).limit(bindparam("most")), values).scalars()
    return total, list(indexes)


def indexes_with_text(
    connection: Connection, key: BatchKey, batch: Batch, match: ItemFilter, statuses: Sequence[str], first: int
) -> list[int]:
    """Find the outcomes that match, text included, among `ITEMS_A_PART` items from index `first` on, in index order."""
    text = match.text or ""
    chosen = _chosen(connection, key, batch, match, statuses)
    last = first + ITEMS_A_PART - 1
    return list(_with_text(connection, key, and_(chosen, outcomes.c.item_index <= last), text, first))


def _chosen(
    connection: Connection, key: BatchKey, batch: Batch, match: ItemFilter, statuses: Sequence[str]
) -> ColumnElement[bool]:
    conditions: list[Any] = [outcomes.c.status.in_(statuses)]
    if match.error_codes:
        conditions += [UNSUCCESSFUL, outcomes.c.error_code.in_([code.value for code in match.error_codes])]
    if BatchItemStatus.SUCCESS.value not in statuses:
        conditions.append(UNSUCCESSFUL)
    if match.item_ids:
        conditions.append(outcomes.c.item_index.in_(named_indexes(connection, key, batch, match.item_ids)))
    return and_(of_batch(outcomes), *conditions)


def _with_text(
    connection: Connection, key: BatchKey, chosen: ColumnElement[bool], text: str, first: int
) -> Iterator[int]:
    """Find the chosen outcomes with a text, in index order, from an index on."""
    holds = _holder(text)
    dialect = connection.dialect.name
    query = _texts(chosen, dialect)
    values = {**parameters(key), "after": first - 1, "most": ROWS_A_READ, "text": _LOOKED_FOR[dialect](text)}
    while True:
        rows = connection.execute(query, values).all()
        for index, message, output in rows:
            if (message is not None and holds(message)) or (output is not None and _is_in(output, text, holds)):
                yield index
        if len(rows) < ROWS_A_READ:
            return
        values["after"] = rows[-1].item_index


def _is_in(output: bytes, text: str, holds: Callable[[str], bool]) -> bool:
    """Tell whether a text of an output holds it; most outputs are told by a glance at their bytes."""
    return text.encode().lower() in output.lower() and any(holds(each) for each in structs.texts(output))


def _holder(text: str) -> Callable[[str], bool]:
    """Make what looks for a text in another one; of A to Z the case makes no difference, as in bytes."""
    wanted = text.encode().lower()
    return lambda whole: wanted in whole.encode(errors="replace").lower()


def _texts(chosen: ColumnElement[bool], dialect: str) -> Select[Any]:
    columns = outcomes.c.item_index, outcomes.c.error_message, outcomes.c.output_data
    query = select(*columns).where(chosen, outcomes.c.item_index > bindparam("after"), _MAY_HOLD[dialect])
    return query.order_by(outcomes.c.item_index).limit(bindparam("most"))


def _escaped(text: str) -> str:
    r"""Write a text as PostgreSQL's `encode(..., 'escape')` does, in lower case: `\ooo` for all beyond ASCII."""
    return "".join(
        rf"\{byte:03o}" if byte >= 0x80 else "\\\\" if byte == 0x5C else chr(byte) for byte in text.encode().lower()
    )


def _lowered(data: ColumnElement[Any]) -> ColumnElement[str]:
    return func.lower(func.encode(data, "escape"))


def _lowered_bytes(data: ColumnElement[Any]) -> ColumnElement[bytes]:
    return cast(func.lower(data), LargeBinary)


# The databases hand over no more outputs than those whose bytes hold the text somewhere; they look for it without the
# interpreter's lock. SQLite's lower() and instr() go by lengths, where LIKE would end at the first zero byte.
_MAY_HOLD = {
    "postgresql": or_(
        func.strpos(_lowered(outcomes.c.output_data), bindparam("text")) > 0,
        func.strpos(_lowered(func.convert_to(outcomes.c.error_message, "UTF8")), bindparam("text")) > 0,
    ),
    "sqlite": or_(
        func.instr(_lowered_bytes(outcomes.c.output_data), bindparam("text", type_=LargeBinary())) > 0,
        func.instr(_lowered_bytes(outcomes.c.error_message), bindparam("text", type_=LargeBinary())) > 0,
    ),
}
_LOOKED_FOR: dict[str, Callable[[str], Any]] = {
    "postgresql": _escaped,
    "sqlite": lambda text: text.encode().lower(),
}
