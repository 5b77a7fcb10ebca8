"""A watch over streams that break: each outcome once, in order, whatever breaks them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import Attempt, ScriptedServer, outcome, status, unavailable, watch_from

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import (
    BatchFailedError,
    BatchItemStatus,
    BatchNotFoundError,
    BatchStatusResult,
    BatchTimeoutError,
    SequenceOutOfRangeError,
    ServerError,
    UnavailableError,
)

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

TOTAL = 7
CUTS = {
    "unavailable": unavailable(),
    "draining": unavailable(reason="DRAINING", retry_after_s=0.05),
    "ended in good order": Attempt(),
    "reset by a proxy": Attempt(code=grpc.StatusCode.INTERNAL),
    "removed": Attempt(code=grpc.StatusCode.UNKNOWN),
    "cancelled by a proxy": Attempt(code=grpc.StatusCode.CANCELLED),
    "silent": Attempt(hangs=True),
}


def cut_after(messages: int, end: Attempt, per_message: int = 1) -> Attempt:
    return Attempt(
        answers=watch_from(TOTAL, per_message, cut_after=messages),
        code=end.code,
        reason=end.reason,
        retry_after_s=end.retry_after_s,
        hangs=end.hangs,
    )


def sequences(results: Any) -> list[int]:
    return [result.sequence for result in results]


@pytest.mark.parametrize("per_message", [1, 3])
@pytest.mark.parametrize("end", CUTS.values(), ids=CUTS)
def test_a_stream_cut_at_each_point_in_turn(connect: Connect, serve: Serve, end: Attempt, per_message: int) -> None:
    cuts = [cut_after(messages, end, per_message) for messages in (0, 1, 0, 2, 1, 1)]
    server = serve(WatchBatch=[*cuts, Attempt(watch_from(TOTAL, per_message))])
    client = connect(server, silence_s=0.3)
    assert sequences(client.watch("b1")) == list(range(1, TOTAL + 1))
    positions = [request.after_sequence for request in server.requests["WatchBatch"]]
    assert positions[0] == 0
    assert positions == sorted(positions)


def test_a_cut_between_the_last_outcome_and_the_terminal_status(connect: Connect, serve: Serve) -> None:
    last = batch_service_pb2.WatchBatchResponse(results=[outcome(1)], status=status(value="PROCESSING"), sequence=1)
    end = batch_service_pb2.WatchBatchResponse(status=status(), sequence=1)
    server = serve(WatchBatch=[unavailable(answers=[last]), Attempt([end])])
    assert sequences(connect(server).watch("b1")) == [1]
    assert [request.after_sequence for request in server.requests["WatchBatch"]] == [0, 1]


def test_a_server_that_restarts_on_its_port(connect: Connect, serve: Serve) -> None:
    first = serve(WatchBatch=[Attempt(watch_from(TOTAL, cut_after=3), hangs=True)])
    client = connect(first)
    seen = []
    for result in client.watch("b1"):
        seen.append(result.sequence)
        if result.sequence == 3:
            first.stop()
            serve(first.port, WatchBatch=[Attempt(watch_from(TOTAL))])
    assert seen == list(range(1, TOTAL + 1))


def test_what_a_filter_left_out_is_not_asked_for_again(connect: Connect, serve: Serve) -> None:
    filtered = batch_service_pb2.WatchBatchResponse(results=[outcome(2)], sequence=40)
    end = batch_service_pb2.WatchBatchResponse(status=status(), sequence=44)
    server = serve(WatchBatch=[unavailable(answers=[filtered]), Attempt([end])])
    assert sequences(connect(server).watch("b1", statuses=[BatchItemStatus.SUCCESS])) == [2]
    first, second = server.requests["WatchBatch"]
    assert (first.after_sequence, second.after_sequence) == (0, 40)
    assert list(first.statuses) == list(second.statuses) == [types_pb2.BATCH_ITEM_STATUS_SUCCESS]


def test_a_watch_resumes_where_the_caller_says(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(TOTAL))])
    assert sequences(connect(server).watch("b1", after_sequence=5)) == [6, 7]


def test_updates_tell_the_status_and_where_to_resume(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(4, per_message=2))])
    updates = list(connect(server).watch_updates("b1"))
    assert [(sequences(update.results), update.sequence) for update in updates] == [([1, 2], 2), ([3, 4], 4)]
    assert [update.status.status for update in updates] == ["processing", "completed"]


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND", BatchNotFoundError),
        (grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE", SequenceOutOfRangeError),
        (grpc.StatusCode.INTERNAL, "INTERNAL", ServerError),
    ],
)
def test_errors_that_watching_on_cannot_help_are_raised(
    connect: Connect, serve: Serve, code: grpc.StatusCode, reason: str, kind: type[Exception]
) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(TOTAL, cut_after=1), code=code, reason=reason, message="gone")])
    results = connect(server).watch("b1")
    assert next(results).sequence == 1
    with pytest.raises(kind, match="gone"):
        next(results)
    assert len(server.requests["WatchBatch"]) == 1


def test_a_server_that_is_never_reached_is_given_up_after_the_calls_timeout(connect: Connect, serve: Serve) -> None:
    server = serve()
    server.stop()
    with pytest.raises(UnavailableError, match=rf"no server answers at {server.address}.*imagebatch serve"):
        next(connect(server, timeout_s=0.5).watch("b1"))


def test_a_server_that_stays_away_is_given_up_after_the_patience_for_it(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(TOTAL, cut_after=2)), *[Attempt()] * 50])
    results = connect(server, reconnect_for_s=1.0).watch("b1")
    assert [next(results).sequence, next(results).sequence] == [1, 2]
    with pytest.raises(UnavailableError, match="watch again with after_sequence=2"):
        next(results)


def test_a_slow_caller_is_not_a_silent_server(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(3))])
    seen = []
    for result in connect(server, silence_s=0.1).watch("b1"):
        seen.append(result.sequence)
        threading.Event().wait(0.3)  # the caller's own work, longer than a server may be silent
    assert seen == [1, 2, 3]
    assert len(server.requests["WatchBatch"]) == 1


def test_leaving_a_watch_ends_its_stream(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(TOTAL, cut_after=2), hangs=True)])
    results = connect(server).watch("b1")
    assert next(results).sequence == 1
    assert not server.ended.is_set()
    results.close()
    assert server.ended.wait(10)


def test_waiting_answers_the_full_status_and_reads_no_outputs(connect: Connect, serve: Serve) -> None:
    full = status(total=9, done=9)
    full.parameters.fields["size"].number_value = 3
    server = serve(
        WatchBatch=[unavailable(), Attempt(watch_from(9, per_message=4))],
        GetBatchStatus=[unavailable(), Attempt([full])],
    )
    seen: list[BatchStatusResult] = []
    answered = connect(server).wait_for_completion("b1", timeout=30, on_progress=seen.append)
    assert answered.parameters == {"size": 3}
    assert [progress.processed_items for progress in seen] == [4, 8, 9]
    assert list(server.requests["WatchBatch"][0].statuses) == [types_pb2.BATCH_ITEM_STATUS_SKIPPED]


def test_waiting_has_an_end(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[unavailable(), Attempt(watch_from(9, cut_after=4), hangs=True)])
    with pytest.raises(BatchTimeoutError, match=r"not ended within 0\.5 s: 4 of 9 items have an outcome") as caught:
        connect(server).wait_for_completion("b1", timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.status is not None
    assert caught.value.status.processed_items == 4


def test_waiting_for_a_server_that_is_away_has_an_end(connect: Connect, serve: Serve) -> None:
    server = serve()
    server.stop()
    with pytest.raises(BatchTimeoutError, match="no status was seen"):
        connect(server).wait_for_completion("b1", timeout=0.4)


def test_waiting_for_a_batch_that_fails_raises(connect: Connect, serve: Serve) -> None:
    end = batch_service_pb2.WatchBatchResponse(status=status(value="FAILED"))
    server = serve(WatchBatch=[Attempt([end])], GetBatchStatus=[Attempt([status(value="FAILED", total=2)])])
    with pytest.raises(BatchFailedError, match="batch b1 failed") as caught:
        connect(server).wait_for_completion("b1")
    assert caught.value.status.total_items == 2
