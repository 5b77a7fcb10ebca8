"""A watch over streams that break: each outcome once, in order, whatever breaks them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import (
    BATCH_ID,
    Attempt,
    ScriptedServer,
    outcome,
    status,
    unavailable,
    watch_from,
)

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import (
    AsyncBatchClient,
    BatchClient,
    BatchFailedError,
    BatchItemStatus,
    BatchNotFoundError,
    BatchStatusResult,
    BatchTimeoutError,
    ConnectionSettings,
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


@pytest.mark.parametrize("timeout", [0, 0.4])
def test_waiting_for_a_server_that_is_away_says_so(connect: Connect, serve: Serve, timeout: float) -> None:
    server = serve()
    server.stop()
    with pytest.raises(BatchTimeoutError) as caught:
        connect(server).wait_for_completion("b1", timeout=timeout)
    told = f"batch b1: no status was seen within {timeout} s: no server answers at {server.address}"
    assert str(caught.value).startswith(told)
    assert isinstance(caught.value.__cause__, UnavailableError)
    assert caught.value.status is None


def test_waiting_for_a_server_that_went_away_promises_nothing(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(9, cut_after=4))])
    client = connect(server)

    def stop(_: BatchStatusResult) -> None:
        server.stop()

    with pytest.raises(BatchTimeoutError, match="whether it goes on is not known: no server answers at") as caught:
        client.wait_for_completion("b1", timeout=1.0, on_progress=stop)
    assert caught.value.status is not None


@pytest.mark.parametrize("timeout", [0, -1.0, 1e-9])
def test_a_batch_that_has_ended_is_answered_however_short_the_timeout(
    connect: Connect, serve: Serve, timeout: float
) -> None:
    server = serve(GetBatchStatus=[Attempt([status(total=9, done=9)])])
    seen: list[BatchStatusResult] = []
    answered = connect(server).wait_for_completion("b1", timeout=timeout, on_progress=seen.append)
    assert (answered.status, answered.processed_items) == ("completed", 9)
    assert seen == [answered]


def test_a_batch_that_goes_on_is_said_to_after_one_look(connect: Connect, serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status(value="PROCESSING", total=9, done=4)])])
    with pytest.raises(BatchTimeoutError, match="within 0 s: 4 of 9 items have an outcome; it goes on"):
        connect(server).wait_for_completion("b1", timeout=0)


def test_a_batch_that_is_not_there_is_no_timeout(connect: Connect, serve: Serve) -> None:
    missing = Attempt(code=grpc.StatusCode.NOT_FOUND, reason="BATCH_NOT_FOUND")
    with pytest.raises(BatchNotFoundError):
        connect(serve(GetBatchStatus=[missing])).wait_for_completion("b1", timeout=0)


def test_infinity_is_no_timeout(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(1))], GetBatchStatus=[Attempt([status()])])
    assert connect(server).wait_for_completion("b1", timeout=float("inf")).status == "completed"


def test_a_watch_has_an_end_when_one_is_set(connect: Connect, serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(9, cut_after=4), hangs=True)])
    results = connect(server).watch("b1", timeout=0.5)
    assert [next(results).sequence for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(BatchTimeoutError, match=r"not ended within 0\.5 s: 4 of 9"):
        next(results)


@pytest.mark.parametrize("away", [False, True], ids=["waiting for an outcome", "waiting for the server"])
def test_a_watch_that_waits_is_ended_from_another_thread(serve: Serve, away: bool) -> None:
    first = watch_from(9, cut_after=2)
    server = serve(
        WatchBatch=[unavailable(answers=list(first(batch_service_pb2.WatchBatchRequest())))]
        if away
        else [Attempt(first, hangs=True)]
    )
    client = BatchClient(ConnectionSettings(server.address, reconnect_for_s=60.0))
    watch = client.watch("b1")
    seen: list[int | None] = []
    has_two = threading.Event()

    def read() -> None:
        for result in watch:
            seen.append(result.sequence)
            if len(seen) == 2:
                has_two.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert has_two.wait(10)
    watch.close()
    thread.join(10)
    assert not thread.is_alive()
    assert seen == [1, 2]
    assert list(watch) == []
    client.close()


def test_a_watch_that_is_closed_yields_nothing_more(serve: Serve) -> None:
    with BatchClient(serve(WatchBatch=[Attempt(watch_from(9, per_message=9))]).address) as client:
        with client.watch("b1") as watch:
            assert next(watch).sequence == 1
        assert list(watch) == []


def test_a_watch_that_nobody_holds_ends_its_stream(serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(TOTAL, cut_after=2), hangs=True)])
    with BatchClient(server.address) as client:
        for _ in client.watch("b1"):
            break
        assert server.ended.wait(10)


async def test_progress_may_be_told_to_a_coroutine(serve: Serve) -> None:
    server = serve(WatchBatch=[Attempt(watch_from(9, per_message=4))], GetBatchStatus=[Attempt([status()])])
    seen: list[int] = []

    async def on_progress(status: BatchStatusResult) -> None:
        seen.append(status.processed_items)

    async with AsyncBatchClient(server.address) as client:
        await client.wait_for_completion("b1", on_progress=on_progress)
    assert seen == [4, 8, 9]


def test_waiting_for_a_batch_that_fails_raises(connect: Connect, serve: Serve) -> None:
    end = batch_service_pb2.WatchBatchResponse(status=status(value="FAILED"))
    server = serve(WatchBatch=[Attempt([end])], GetBatchStatus=[Attempt([status(value="FAILED", total=2)])])
    with pytest.raises(BatchFailedError, match=f"batch {BATCH_ID} failed") as caught:
        connect(server).wait_for_completion("b1")
    assert caught.value.status.total_items == 2
