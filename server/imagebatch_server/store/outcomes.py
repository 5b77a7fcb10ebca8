"""Outcomes in SQL: the recorder's transaction, pages, and the watchers' catching up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, insert, or_, select, update

from imagebatch.v1.enums import BatchItemStatus, BatchStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchNotFound
from imagebatch_server.batches.model import Batch, ItemFilter, ItemResult, Outcome
from imagebatch_server.batches.ports import BatchCommit
from imagebatch_server.store import rows
from imagebatch_server.store.database import Database
from imagebatch_server.store.tables import batches, items, objects, outcomes

OUTCOME_COLUMNS = [
    outcomes.c.sequence,
    outcomes.c.status,
    outcomes.c.error_code,
    outcomes.c.error_message,
    outcomes.c.output_data,
    outcomes.c.processing_time_ms,
    outcomes.c.attempts,
    outcomes.c.image_sha256,
    outcomes.c.stored_object_key,
    outcomes.c.duplicate_of_index,
    outcomes.c.completed_at,
]
ITEM_COLUMNS = [column for column in items.c if column.name not in ("tenant", "batch_id")]
ROWS_A_FETCH = 100


class SqlOutcomeStore:
    """The port `OutcomeStore`. A read ends early, after at least one row, once it holds `max_read_bytes`."""

    def __init__(self, database: Database, *, max_read_bytes: int) -> None:
        self._database = database
        self._max_read_bytes = max_read_bytes

    async def record(self, commits: Sequence[BatchCommit], at: datetime, *, recheck: bool) -> Sequence[Batch | None]:
        return await self._database.write(partial(_record, commits=commits, at=at, recheck=recheck))

    async def page(
        self, tenant: str, batch_id: str, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        return await self._database.read(
            partial(self._page, tenant=tenant, batch_id=batch_id, match=match, offset=offset, limit=limit)
        )

    async def after(self, tenant: str, batch_id: str, sequence: int, limit: int) -> Sequence[ItemResult]:
        return await self._database.read(
            partial(self._after, tenant=tenant, batch_id=batch_id, sequence=sequence, limit=limit)
        )

    def _page(
        self, connection: Connection, tenant: str, batch_id: str, match: ItemFilter, offset: int, limit: int
    ) -> tuple[Batch, int, Sequence[ItemResult]]:
        row = connection.execute(
            select(batches).where(batches.c.tenant == tenant, batches.c.batch_id == batch_id)
        ).one_or_none()
        if row is None:
            raise BatchNotFound(batch_id)
        batch = rows.to_batch(row)
        query = _joined(tenant, batch_id)
        if match.is_empty:
            # The index is dense: a range on it costs the same wherever it stands.
            query = query.where(items.c.item_index >= offset, items.c.item_index < offset + limit)
            total = batch.total_items
        else:
            query = query.where(*_conditions(batch_id, match))
            total = connection.execute(query.with_only_columns(func.count())).scalar_one()
            query = query.offset(offset).limit(limit)
        found = connection.execute(query.order_by(items.c.item_index), execution_options={"yield_per": ROWS_A_FETCH})
        return batch, total, self._within_budget(batch_id, found)

    def _after(
        self, connection: Connection, tenant: str, batch_id: str, sequence: int, limit: int
    ) -> Sequence[ItemResult]:
        found = connection.execute(
            select(*ITEM_COLUMNS, *OUTCOME_COLUMNS)
            .select_from(outcomes)
            .join(items, _same_item())
            .where(
                outcomes.c.tenant == tenant,
                outcomes.c.batch_id == batch_id,
                outcomes.c.sequence > sequence,
            )
            .order_by(outcomes.c.sequence)
            .limit(limit),
            execution_options={"yield_per": ROWS_A_FETCH},
        )
        return self._within_budget(batch_id, found)

    def _within_budget(self, batch_id: str, found: Iterable[Row[Any]]) -> Sequence[ItemResult]:
        results: list[ItemResult] = []
        held_bytes = 0
        for row in found:
            result = rows.to_item_result(batch_id, row)
            held_bytes += result.size_bytes
            if results and held_bytes > self._max_read_bytes:
                break
            results.append(result)
        return results


def _same_item() -> Any:
    return and_(
        outcomes.c.tenant == items.c.tenant,
        outcomes.c.batch_id == items.c.batch_id,
        outcomes.c.item_index == items.c.item_index,
    )


def _joined(tenant: str, batch_id: str) -> Select[Any]:
    return (
        select(*ITEM_COLUMNS, *OUTCOME_COLUMNS)
        .select_from(items)
        .outerjoin(outcomes, _same_item())
        .where(items.c.tenant == tenant, items.c.batch_id == batch_id)
    )


def _conditions(batch_id: str, match: ItemFilter) -> list[Any]:
    conditions: list[Any] = []
    if not match.include_failed:
        conditions.append(or_(outcomes.c.status.is_(None), outcomes.c.status != BatchItemStatus.FAILED.value))
    if match.statuses:
        recorded = [status.value for status in match.statuses if status is not BatchItemStatus.PENDING]
        alternatives = [outcomes.c.status.in_(recorded)]
        if BatchItemStatus.PENDING in match.statuses:
            alternatives.append(outcomes.c.status.is_(None))
        conditions.append(or_(*alternatives))
    if match.item_ids:
        derived = [index for index in (lifecycle.derived_index(batch_id, key) for key in match.item_ids) if index >= 0]
        conditions.append(
            or_(
                items.c.item_id.in_(match.item_ids),
                and_(items.c.item_id.is_(None), items.c.item_index.in_(derived)),
            )
        )
    return conditions


def _record(
    connection: Connection, commits: Sequence[BatchCommit], at: datetime, recheck: bool
) -> Sequence[Batch | None]:
    recorded: dict[tuple[str, str], Batch | None] = {}
    new_outcomes: list[dict[str, Any]] = []
    new_objects: list[dict[str, Any]] = []
    # In the order of their ids, so that two servers never lock two batches crosswise.
    for commit in sorted(commits, key=lambda commit: (commit.tenant, commit.batch_id)):
        fresh = _unrecorded(connection, commit) if recheck else commit.outcomes
        batch = _move_counters(connection, commit, fresh, at)
        if batch is None and recheck and not fresh:
            batch = _ended(connection, commit)
        recorded[commit.tenant, commit.batch_id] = batch
        if batch is None:
            continue
        first = batch.last_sequence - len(fresh) + 1
        key = {"tenant": commit.tenant, "batch_id": commit.batch_id, "completed_at": at}
        for sequence, outcome in enumerate(fresh, start=first):
            new_outcomes.append({**key, "sequence": sequence, **rows.from_outcome(outcome)})
            if outcome.stored_object is not None:
                new_objects.append(rows.from_object(outcome.stored_object))
    if new_objects:
        connection.execute(insert(objects), new_objects)
    if new_outcomes:
        connection.execute(insert(outcomes), new_outcomes)
    return [recorded[commit.tenant, commit.batch_id] for commit in commits]


def _unrecorded(connection: Connection, commit: BatchCommit) -> Sequence[Outcome]:
    """Leave out what an earlier try committed although its answer was lost."""
    indexes = [outcome.item_index for outcome in commit.outcomes]
    known = connection.execute(
        select(outcomes.c.item_index).where(
            outcomes.c.tenant == commit.tenant,
            outcomes.c.batch_id == commit.batch_id,
            outcomes.c.item_index.in_(indexes),
        )
    )
    seen = set(known.scalars())
    return [outcome for outcome in commit.outcomes if outcome.item_index not in seen]


def _ended(connection: Connection, commit: BatchCommit) -> Batch | None:
    """The batch, if what an earlier try committed was its end."""
    row = connection.execute(
        select(batches).where(
            batches.c.tenant == commit.tenant,
            batches.c.batch_id == commit.batch_id,
            batches.c.owner_epoch == commit.owner_epoch,
        )
    ).one_or_none()
    return None if row is None else rows.to_batch(row)


def _move_counters(connection: Connection, commit: BatchCommit, fresh: Sequence[Outcome], at: datetime) -> Batch | None:
    """Take the sequences and move the counters, in one statement whose row lock makes sequence order commit order."""
    owned = and_(
        batches.c.tenant == commit.tenant,
        batches.c.batch_id == commit.batch_id,
        batches.c.owner_epoch == commit.owner_epoch,
        batches.c.status.in_((BatchStatus.PENDING.value, BatchStatus.PROCESSING.value)),
    )
    by_status = Counter(outcome.status for outcome in fresh)
    failures = Counter(
        outcome.error_code.value
        for outcome in fresh
        if outcome.status is BatchItemStatus.FAILED and outcome.error_code is not None
    )
    times = [outcome.processing_time_ms for outcome in fresh if outcome.processing_time_ms is not None]
    moved = {
        "last_sequence": len(fresh),
        "successful_items": by_status[BatchItemStatus.SUCCESS],
        "failed_items": by_status[BatchItemStatus.FAILED],
        "skipped_items": by_status[BatchItemStatus.SKIPPED],
        "processing_time_ms": sum(times),
        "timed_items": len(times),
        "input_tokens": sum(outcome.input_tokens for outcome in fresh),
        "output_tokens": sum(outcome.output_tokens for outcome in fresh),
        **failures,
    }
    values: dict[str, Any] = {name: batches.c[name] + by for name, by in moved.items() if by}
    if commit.started_at is not None:
        values["started_at"] = func.coalesce(batches.c.started_at, commit.started_at)
        values["status"] = BatchStatus.PROCESSING.value
    values["outcomes_per_s"] = commit.outcomes_per_s
    values["rated_at"] = at
    row = connection.execute(update(batches).where(owned).values(values).returning(batches)).one_or_none()
    if row is None:
        return None
    batch = rows.to_batch(row)
    if batch.processed_items < batch.total_items:
        return batch
    ended = connection.execute(
        update(batches)
        .where(owned)
        .values(status=lifecycle.terminal_status(batch).value, completed_at=at)
        .returning(batches)
    ).one()
    return rows.to_batch(ended)


def audit(connection: Connection, tenant: str, batch_id: str) -> dict[str, int]:
    """Count the rows themselves, for tests that hold the counters against them."""
    query = (
        select(outcomes.c.status, func.count().label("number"))
        .where(outcomes.c.tenant == tenant, outcomes.c.batch_id == batch_id)
        .group_by(outcomes.c.status)
    )
    return {row.status: row.number for row in connection.execute(query)}
