"""The recorder's transaction: outcomes of several batches, their sequences and the batches' counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, select, text, update

from imagebatch.v1.enums import BatchItemStatus, BatchStatus
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch, Outcome, StoredObject
from imagebatch_server.batches.ports.batches import BatchCommit
from imagebatch_server.store import rows
from imagebatch_server.store.dialects import time_value
from imagebatch_server.store.driver import Prepared, insert_rows, together
from imagebatch_server.store.failure_clusters import count_failures
from imagebatch_server.store.items import recorded_statuses
from imagebatch_server.store.keys import of_batch, parameters
from imagebatch_server.store.notifications import insert_notification
from imagebatch_server.store.tables import COUNTERS, FAILURE_CODES, RUNNING, UtcDateTime, batches, outcomes
from imagebatch_server.store.tenant_rows import insert_objects
from imagebatch_server.store.usage import Usage, add_usage


def record(
    connection: Connection, commits: Sequence[BatchCommit], at: datetime, recheck: bool
) -> Sequence[Batch | None]:
    """Do what the port's `record` says, in one transaction."""
    recorded: dict[tuple[str, str], Batch | None] = {}
    new_outcomes: list[tuple[Any, ...]] = []
    new_objects: list[StoredObject] = []
    used: list[tuple[Batch, Usage]] = []
    ends: list[Mapping[str, Any]] = []
    completed_at = time_value(connection, at)
    # In the order of their ids, so that two servers never lock two batches crosswise.
    for commit in sorted(commits, key=lambda commit: (commit.tenant, commit.batch_id)):
        key = (commit.tenant, commit.batch_id)
        fresh = _unrecorded(connection, commit) if recheck else commit.outcomes
        if recheck and commit.outcomes and not fresh:
            recorded[key] = _owned(connection, commit)
            continue
        moves = _moves(fresh)
        batch = _move_counters(connection, commit, len(fresh), moves, at)
        if batch is not None and batch.processed_items == batch.total_items:
            batch = _ended(connection, batch, at)
            ends.append({**parameters(key), "epoch": commit.owner_epoch, "end": batch.status.value, "at": at})
        recorded[key] = batch
        if batch is None:
            continue
        used.append((batch, _usage(moves, fresh)))
        cluster_ids: Mapping[int, str] = {}
        if commit.failures:
            cluster_ids = count_failures(connection, key, commit.failures, {it.item_index for it in fresh}, at)
        for sequence, outcome in enumerate(fresh, start=batch.last_sequence - len(fresh) + 1):
            cluster_id = cluster_ids.get(outcome.item_index)
            new_outcomes.append(rows.from_outcome(key, sequence, outcome, completed_at, cluster_id))
        if commit.objects:
            named = {key for outcome in fresh for key in (outcome.stored_object_key, outcome.preview_object_key)}
            new_objects += [stored for stored in commit.objects if stored.object_key in named]
    insert_objects(connection, new_objects)
    with together(connection, rows=len(new_outcomes)):
        for values in ends:
            _END.run(connection, values)  # the row is locked: it is as it was answered
        insert_rows(connection, outcomes, new_outcomes)
        add_usage(connection, used, at)
    return [recorded[commit.tenant, commit.batch_id] for commit in commits]


def _unrecorded(connection: Connection, commit: BatchCommit) -> Sequence[Outcome]:
    """Leave out what an earlier try committed although its answer was lost."""
    key = (commit.tenant, commit.batch_id)
    connection.execute(_LOCK, parameters(key))  # the earlier try may be committing only now: wait for it
    known = recorded_statuses(connection, key, sorted(outcome.item_index for outcome in commit.outcomes))
    return [outcome for outcome in commit.outcomes if outcome.item_index not in known]


def _owned(connection: Connection, commit: BatchCommit) -> Batch | None:
    """Read the batch as an earlier try left it, terminal perhaps."""
    key = (commit.tenant, commit.batch_id)
    row = connection.execute(_OWNED, {**parameters(key), "epoch": commit.owner_epoch}).one_or_none()
    return None if row is None else rows.to_batch(row)


def _move_counters(
    connection: Connection, commit: BatchCommit, count: int, moves: Mapping[str, int], at: datetime
) -> Batch | None:
    """Take the sequences and move the counters, in one statement whose row lock makes sequence order commit order."""
    key = (commit.tenant, commit.batch_id)
    values = {**parameters(key), "epoch": commit.owner_epoch}
    rate, error = commit.speed or (None, None)
    moved = {"by_last_sequence": count, "rate": rate, "error": error, "at": at, **moves}
    with together(connection):  # with what begins the transaction
        if commit.started_at is None:
            answer = _MOVE.run(connection, {**values, **moved})
        else:
            answer = _MOVE_AND_START.run(connection, {**values, **moved, "start": commit.started_at})
    row = answer.one_or_none()
    return None if row is None else rows.to_batch(row)


def _ended(connection: Connection, batch: Batch, at: datetime) -> Batch:
    """Answer a batch whose last outcome has come as it ends, and note whom to tell of that."""
    ended = replace(batch, status=lifecycle.terminal_status(batch), completed_at=at, paused_at=None)
    if ended.options.notify_url is not None:
        insert_notification(connection, ended, at)
    return ended


def _moves(fresh: Sequence[Outcome]) -> dict[str, int]:
    """By how much these outcomes move each counter."""
    moved = dict.fromkeys(_MOVES, 0)
    for outcome in fresh:
        moved[_MOVE_OF_STATUS[outcome.status]] += 1
        if outcome.status is BatchItemStatus.FAILED and outcome.error_code in _MOVE_OF_CODE:
            moved[_MOVE_OF_CODE[outcome.error_code]] += 1
        if outcome.processing_time_ms is not None:
            moved["by_processing_time_ms"] += outcome.processing_time_ms
            moved["by_timed_items"] += 1
        moved["by_input_tokens"] += outcome.input_tokens
        moved["by_output_tokens"] += outcome.output_tokens
    return moved


def _usage(moves: Mapping[str, int], fresh: Sequence[Outcome]) -> Usage:
    """Tell what these outcomes used, which is nothing where an item was skipped."""
    return Usage(
        items=moves["by_successful_items"] + moves["by_failed_items"],
        processing_time_ms=moves["by_processing_time_ms"],
        image_bytes=sum([outcome.image_bytes for outcome in fresh]),
        input_tokens=moves["by_input_tokens"],
        output_tokens=moves["by_output_tokens"],
    )


_MOVES = [f"by_{counter}" for counter in COUNTERS]
_MOVE_OF_STATUS = {
    BatchItemStatus.SUCCESS: "by_successful_items",
    BatchItemStatus.FAILED: "by_failed_items",
    BatchItemStatus.SKIPPED: "by_skipped_items",
}
_MOVE_OF_CODE = {code: f"by_{code.value}" for code in FAILURE_CODES}

_IS_OWNED = and_(of_batch(batches), batches.c.owner_epoch == bindparam("epoch"))
_LOCK = select(batches.c.batch_id).where(of_batch(batches)).with_for_update()
_OWNED = select(batches).where(_IS_OWNED, text("visible"))
_UPDATE = update(batches).where(_IS_OWNED, RUNNING)
_MOVED = (
    _UPDATE.values(
        {counter: batches.c[counter] + bindparam(f"by_{counter}") for counter in ("last_sequence", *COUNTERS)}
    )
    .values(outcomes_per_s=bindparam("rate"), rate_error=bindparam("error"), rated_at=bindparam("at"))
    .returning(batches)
)
_MOVE = Prepared(_MOVED)
_MOVE_AND_START = Prepared(
    _MOVED.values(
        started_at=func.coalesce(batches.c.started_at, bindparam("start", type_=UtcDateTime())),
        status=BatchStatus.PROCESSING.value,
    )
)
_END = Prepared(_UPDATE.values(status=bindparam("end"), completed_at=bindparam("at"), paused_at=None))
