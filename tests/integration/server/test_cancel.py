"""CancelBatch: what is in flight is recorded, everything else is skipped, finished work is kept."""

from __future__ import annotations

from pathlib import Path

from tests.integration.server.calls import Raw, eventually, is_terminal, item

from imagebatch.v1.batch_service_pb2 import CancelBatchRequest
from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_SKIPPED,
    BATCH_ITEM_STATUS_SUCCESS,
    BATCH_STATUS_CANCELLED,
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_PROCESSING,
    ITEM_ERROR_CODE_CANCELLED,
    BatchStatusResult,
)

ITEMS = 2_500
"""More than the scheduler reads ahead, and than one transaction skips."""


def cancel(raw: Raw, batch_id: str) -> BatchStatusResult:
    return raw.batches.CancelBatch(CancelBatchRequest(batch_id=batch_id))


def test_a_running_batch_ends_cancelled(raw: Raw, picture: str, tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    waits = {"do": "wait", "until": str(gate), "begun": str(begun)}
    items = [item(object_key=picture), item(object_key=picture, metadata=waits)]
    items += [item(object_key=picture, metadata={"do": "wait", "until": str(gate)}) for _ in range(ITEMS - 2)]
    batch_id = raw.submit(items).batch_id
    eventually(begun.exists)

    answered = cancel(raw, batch_id)
    assert answered.status == BATCH_STATUS_PROCESSING, "until what is in flight has ended"
    assert answered.HasField("cancel_requested_at")
    again = cancel(raw, batch_id)
    assert again.cancel_requested_at == answered.cancel_requested_at
    eventually(lambda: raw.status(batch_id).skipped_items > 0)
    assert not is_terminal(raw.status(batch_id))

    gate.touch()
    watched = raw.watch_to_end(batch_id)
    outcomes = {result.item_index: result for result in watched.results}
    assert sorted(outcomes) == list(range(ITEMS))
    assert [result.sequence for result in watched.results] == list(range(1, ITEMS + 1))
    done = [index for index, result in outcomes.items() if result.status == BATCH_ITEM_STATUS_SUCCESS]
    skipped = [result for result in outcomes.values() if result.status == BATCH_ITEM_STATUS_SKIPPED]
    assert {0, 1} <= set(done)
    assert len(done) + len(skipped) == ITEMS
    assert {result.error_code for result in skipped} == {ITEM_ERROR_CODE_CANCELLED}
    assert {result.HasField("processing_time_ms") for result in skipped} == {False}
    assert all("submit it again" in result.error_message for result in skipped)

    last = watched.statuses[-1]
    assert last.status == BATCH_STATUS_CANCELLED
    assert (last.successful_items, last.skipped_items, last.failed_items) == (len(done), len(skipped), 0)
    assert last.processed_items == ITEMS
    assert last.HasField("completed_at")
    assert cancel(raw, batch_id) == raw.status(batch_id), "a terminal batch answers its status"


def test_a_completed_batch_stays_completed(raw: Raw, picture: str) -> None:
    batch_id = raw.submit([item(object_key=picture)]).batch_id
    raw.watch_to_end(batch_id)
    before = raw.status(batch_id)
    assert before.status == BATCH_STATUS_COMPLETED
    assert cancel(raw, batch_id) == before
    assert raw.status(batch_id) == before


def test_items_that_wait_for_another_attempt_are_skipped(raw: Raw, picture: str) -> None:
    fails = {"do": "fail", "code": "provider_error", "message": "busy", "transient": True}
    batch_id = raw.submit([item(object_key=picture, metadata=fails)], max_attempts=10).batch_id
    eventually(lambda: raw.status(batch_id).HasField("started_at"))
    cancel(raw, batch_id)
    watched = raw.watch_to_end(batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_CANCELLED
    assert len(watched.results) == 1
