"""WatchBatch over the wire: order, resumption, filters, several at once, and no harm done by closing one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from tests.integration.server.calls import Raw, is_terminal, item, refused
from tests.server import ServerProcess

from imagebatch.v1.types_pb2 import (
    BATCH_ITEM_STATUS_FAILED,
    BATCH_ITEM_STATUS_PENDING,
    BATCH_ITEM_STATUS_SUCCESS,
    BATCH_STATUS_PARTIALLY_COMPLETED,
)

ITEMS = 60


@pytest.fixture(scope="module")
def finished(server: ServerProcess, picture: str) -> str:
    """Make a batch that has ended; every third item failed."""
    client = Raw(server.address)
    keys = ["default.nothing" if index % 3 == 0 else picture for index in range(ITEMS)]
    batch_id = client.submit([item(object_key=key) for key in keys]).batch_id
    client.watch_to_end(batch_id)
    client.close()
    return batch_id


@pytest.mark.parametrize("after", [0, 1, 37, ITEMS])
def test_a_watch_goes_on_exactly_after_a_sequence(raw: Raw, finished: str, after: int) -> None:
    watched = raw.watch_to_end(finished, after)
    assert [result.sequence for result in watched.results] == list(range(after + 1, ITEMS + 1))
    assert watched.sequence == ITEMS
    assert watched.statuses[-1].status == BATCH_STATUS_PARTIALLY_COMPLETED


def test_a_sequence_that_was_never_given_is_out_of_range(raw: Raw, finished: str) -> None:
    refusal = refused(lambda: list(raw.watch(finished, ITEMS + 1)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE")
    assert refusal.metadata == {"batch_id": finished, "last_sequence": str(ITEMS)}


def test_a_filter_leaves_outcomes_out_and_counts_them(raw: Raw, finished: str) -> None:
    watched = raw.watch_to_end(finished, statuses=[BATCH_ITEM_STATUS_FAILED])
    assert sorted(result.item_index for result in watched.results) == list(range(0, ITEMS, 3))
    assert watched.sequence == ITEMS


@pytest.mark.parametrize(("field", "value"), [("after_sequence", -1), ("statuses[0]", BATCH_ITEM_STATUS_PENDING)])
def test_a_bad_watch_is_named(raw: Raw, finished: str, field: str, value: int) -> None:
    request = {"after_sequence": value} if field == "after_sequence" else {"statuses": [value]}
    refusal = refused(lambda: list(raw.watch(finished, **request)))
    assert (refusal.code, list(refusal.violations)) == (grpc.StatusCode.INVALID_ARGUMENT, [field])


def test_a_watch_stands_at_once_and_outcomes_come_as_they_are_made(raw: Raw, picture: str, tmp_path: Path) -> None:
    gates = [tmp_path / str(index) for index in range(3)]
    items = [item(object_key=picture, metadata={"do": "wait", "until": str(gate)}) for gate in gates]
    messages = raw.watch(raw.submit(items).batch_id)
    first = next(messages)
    assert (len(first.results), first.sequence, first.status.processed_items) == (0, 0, 0)
    for number, gate in enumerate(gates, start=1):
        gate.touch()
        message = next(message for message in messages if message.results)
        assert [(result.sequence, result.status) for result in message.results] == [(number, BATCH_ITEM_STATUS_SUCCESS)]
        assert is_terminal(message.status) == (number == len(gates))
    assert list(messages) == []


def test_a_silent_batch_still_sends_its_status(raw: Raw, picture: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    messages = raw.watch(raw.submit([item(object_key=picture, metadata={"do": "wait", "until": str(gate)})]).batch_id)
    silent = [next(messages), next(messages)]  # at once, and after 5 s
    assert [(len(message.results), message.HasField("status")) for message in silent] == [(0, True)] * 2
    gate.touch()
    assert is_terminal(list(messages)[-1].status)


def test_watchers_that_come_at_any_time_see_the_same(raw: Raw, picture: str) -> None:
    items = [item(object_key=picture, metadata={"do": "sleep", "seconds": 0.002})] * ITEMS
    batch_id = raw.submit(items).batch_id
    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(lambda _: raw.watch_to_end(batch_id).results, range(24)))
    assert all([result.sequence for result in results] == list(range(1, ITEMS + 1)) for results in seen)
    assert all(results == seen[0] for results in seen)


def test_closing_a_watch_leaves_the_batch_alone(raw: Raw, picture: str) -> None:
    batch_id = raw.submit([item(object_key=picture)] * ITEMS).batch_id
    messages = raw.watch(batch_id)
    next(messages)
    messages.cancel()
    assert len(raw.watch_to_end(batch_id).results) == ITEMS
