from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch_client.errors import ImagebatchError, UnavailableError
from imagebatch_client.resume import Backoff, CallAttempts, ResultsWalk, WatchProgress, ended, timeout_error
from imagebatch_client.settings import ConnectionSettings
from imagebatch_client.types import (
    BatchItemResult,
    BatchItemStatus,
    BatchResults,
    BatchResultsPagination,
    BatchResultsSummary,
    BatchStatus,
    BatchStatusResult,
    WatchUpdate,
)

SETTINGS = ConnectionSettings(timeout_s=30.0, reconnect_for_s=600.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def item(sequence: int, index: int = 0, status: str = "success") -> BatchItemResult:
    return BatchItemResult(
        f"i{index}", index, BatchItemStatus(status), None, None, None, None, None, sequence=sequence or None
    )


def status(value: str) -> BatchStatusResult:
    return BatchStatusResult("b1", BatchStatus(value), 9, 4, 3, 1, 0.75, 44.4, None, None, None, None, None)


def failure(
    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, reason: str = "", retry_after_s: float | None = None
) -> ImagebatchError:
    return ImagebatchError(code.name, code=code, reason=reason, retry_after_s=retry_after_s)


def test_pauses_double_up_to_a_limit_and_start_again_after_a_success() -> None:
    backoff = Backoff(draw=lambda: 1.0)
    assert [backoff.pause_s(None) for _ in range(7)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    backoff.reset()
    assert backoff.pause_s(None) == 0.2


def test_pauses_are_spread_and_never_shorter_than_the_server_asked() -> None:
    assert Backoff(draw=lambda: 0.0).pause_s(None) == 0.1
    assert Backoff(draw=lambda: 0.0).pause_s(7.5) == 7.5


@pytest.mark.parametrize(("was_reached", "reason"), [(True, ""), (False, "DRAINING")])
def test_a_server_that_was_reached_is_waited_for_until_the_timeout(was_reached: bool, reason: str) -> None:
    clock = Clock()
    attempts = CallAttempts(30.0, was_reached, clock)

    def go_on() -> None:
        while True:
            clock.now_s += attempts.pause_s(failure(reason=reason))

    with pytest.raises(ImagebatchError):
        go_on()
    assert 1024.0 < clock.now_s < 1030.0


@pytest.mark.parametrize("was_reached", [True, False])
def test_a_call_that_goes_on_being_repeated_is_logged_once(was_reached: bool, caplog: pytest.LogCaptureFixture) -> None:
    attempts = CallAttempts(600.0, was_reached, Clock())
    for _ in range(5):
        attempts.pause_s(failure())
    if was_reached:
        attempts.pause_s(failure())
    assert caplog.messages == (["still trying: UNAVAILABLE"] if was_reached else [])


def test_a_server_that_was_never_reached_is_tried_six_times() -> None:
    attempts = CallAttempts(30.0, False, Clock())
    error = failure()
    pauses = [attempts.pause_s(error) for _ in range(5)]
    assert len(pauses) == 5
    with pytest.raises(ImagebatchError) as caught:
        attempts.pause_s(error)
    assert caught.value is error


@pytest.mark.parametrize(
    "error",
    [
        failure(grpc.StatusCode.NOT_FOUND),
        failure(grpc.StatusCode.DEADLINE_EXCEEDED),
        failure(grpc.StatusCode.INTERNAL),
        failure(grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=lambda error: error.message,
)
def test_errors_that_will_not_pass_are_raised_at_once(error: ImagebatchError) -> None:
    with pytest.raises(ImagebatchError, match=error.message):
        CallAttempts(30.0, False, Clock()).pause_s(error)


def test_a_limit_is_tried_again_only_when_the_server_says_when() -> None:
    assert (
        CallAttempts(30.0, False, Clock()).pause_s(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_s=3.0))
        == 3.0
    )


def test_no_pause_outlasts_the_calls_timeout() -> None:
    clock = Clock()
    attempts = CallAttempts(30.0, False, clock)
    clock.now_s += 28.0
    assert attempts.remaining_s() == 2.0
    with pytest.raises(ImagebatchError):
        attempts.pause_s(failure(retry_after_s=2.5))


def test_only_a_call_that_was_tried_before_is_a_repeat() -> None:
    attempts = CallAttempts(30.0, False, Clock())
    assert not attempts.is_repeat
    with pytest.raises(ImagebatchError):
        attempts.pause_s(failure(grpc.StatusCode.NOT_FOUND))
    assert not attempts.is_repeat
    attempts.pause_s(failure())
    assert attempts.is_repeat


@given(
    cuts=st.lists(st.integers(0, 8), max_size=8),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    overlap=st.integers(0, 3),
)
def test_however_streams_are_cut_each_outcome_comes_once_and_in_order(
    cuts: list[int], sizes: list[int], overlap: int
) -> None:
    """`overlap` is a server that repeats some of what the client has: more than the contract allows it to."""
    total = sum(sizes)
    progress = WatchProgress(0, SETTINGS, clock=Clock())
    seen: list[int] = []
    for messages_before_cut in [*cuts, total + 1]:
        at = max(progress.position - overlap, 0)
        for size in (sizes * total)[:messages_before_cut]:
            upto = min(at + size, total)
            update = progress.received(WatchUpdate([item(n) for n in range(at + 1, upto + 1)], None, upto))
            seen.extend(result.sequence or 0 for result in update.results)
            at = upto
    assert seen == list(range(1, total + 1))


def test_the_position_covers_outcomes_that_the_filter_left_out() -> None:
    progress = WatchProgress(0, SETTINGS, clock=Clock())
    update = progress.received(WatchUpdate([item(3)], None, 17))
    assert (update.sequence, progress.position) == (17, 17)


def test_a_status_only_message_moves_nothing_back() -> None:
    progress = WatchProgress(8, SETTINGS, clock=Clock())
    assert progress.received(WatchUpdate([], status("processing"), 0)).sequence == 8


@pytest.mark.parametrize("value", ["completed", "failed", "cancelled", "partially_completed"])
def test_a_terminal_status_ends_the_watch(value: str) -> None:
    progress = WatchProgress(0, SETTINGS, clock=Clock())
    progress.received(WatchUpdate([item(1)], status("processing"), 1))
    assert not progress.is_finished
    progress.received(WatchUpdate([], status(value), 1))
    assert progress.is_finished


@pytest.mark.parametrize(
    "cut",
    [
        None,
        failure(grpc.StatusCode.UNAVAILABLE),
        failure(grpc.StatusCode.UNAVAILABLE, "DRAINING", 1.0),
        failure(grpc.StatusCode.INTERNAL),
        failure(grpc.StatusCode.UNKNOWN),
        failure(grpc.StatusCode.CANCELLED),
        failure(grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
    ids=str,
)
def test_a_cut_stream_is_opened_again(cut: ImagebatchError | None) -> None:
    assert WatchProgress(0, SETTINGS, clock=Clock()).pause_s(cut) > 0


@pytest.mark.parametrize(
    "error",
    [
        failure(grpc.StatusCode.NOT_FOUND, "BATCH_NOT_FOUND"),
        failure(grpc.StatusCode.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE"),
        failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        failure(grpc.StatusCode.INTERNAL, "INTERNAL"),
        failure(grpc.StatusCode.UNIMPLEMENTED),
    ],
    ids=str,
)
def test_other_errors_end_the_watch(error: ImagebatchError) -> None:
    with pytest.raises(ImagebatchError) as caught:
        WatchProgress(0, SETTINGS, clock=Clock()).pause_s(error)
    assert caught.value is error


def test_a_server_that_was_never_reached_is_given_up_after_the_calls_timeout() -> None:
    clock = Clock()
    progress = WatchProgress(0, SETTINGS, clock=clock)
    clock.now_s += 25.0
    progress.pause_s(failure())
    clock.now_s += 6.0
    with pytest.raises(ImagebatchError):
        progress.pause_s(failure())


def test_a_server_that_was_reached_is_waited_for_for_minutes() -> None:
    clock = Clock()
    progress = WatchProgress(0, SETTINGS, clock=clock)
    progress.received(WatchUpdate([item(4)], None, 4))
    clock.now_s += 590.0
    progress.pause_s(failure())
    clock.now_s += 11.0
    with pytest.raises(UnavailableError, match="nothing for 600 s; watch again with after_sequence=4"):
        progress.pause_s(None)


def test_a_message_gives_a_watch_its_patience_back() -> None:
    clock = Clock()
    progress = WatchProgress(0, SETTINGS, clock=clock)
    for _ in range(5):
        progress.received(WatchUpdate([], status("processing"), 0))
        clock.now_s += 500.0
        assert progress.pause_s(failure()) <= 0.2


def test_a_wait_pauses_no_longer_than_it_may_last() -> None:
    clock = Clock()
    progress = WatchProgress(0, SETTINGS, timeout_s=10.0, clock=clock)
    clock.now_s += 9.0
    assert not progress.is_expired()
    assert progress.pause_s(failure(retry_after_s=5.0)) == 1.0
    clock.now_s += 1.0
    assert progress.is_expired()


def test_a_wait_without_timeout_never_expires() -> None:
    progress = WatchProgress(0, SETTINGS, clock=Clock())
    assert progress.remaining_s() is None
    assert not progress.is_expired()


def test_a_timeout_tells_how_far_the_batch_is() -> None:
    progress = WatchProgress(0, SETTINGS, timeout_s=5.0, clock=Clock())
    assert "no status was seen" in str(timeout_error("b1", 5.0, progress))
    progress.received(WatchUpdate([], status("processing"), 4))
    progress.received(WatchUpdate([item(5)], None, 5))
    error = timeout_error("b1", 5.0, progress)
    assert str(error) == "batch b1 has not ended within 5.0 s: 4 of 9 items have an outcome; it goes on"
    assert error.status == status("processing")


def test_only_a_failed_batch_raises() -> None:
    for value in ("completed", "cancelled", "partially_completed"):
        assert ended(status(value)).status == value
    with pytest.raises(ImagebatchError, match="batch b1 failed") as caught:
        ended(status("failed"))
    assert caught.value.status == status("failed")  # type: ignore[attr-defined]


def page(indexes: list[int], offset: int, total: int, statuses: str = "success") -> BatchResults:
    return BatchResults(
        "b1",
        BatchStatus.PROCESSING,
        [item(0, index, statuses) for index in indexes],
        BatchResultsPagination(offset, 100, total, offset + len(indexes) < total),
        BatchResultsSummary(total, 0, 0, 0, 0),
    )


def test_a_walk_advances_by_what_came() -> None:
    walk = ResultsWalk(0, include_failed=True)
    assert len(walk.received(page([0, 1, 2], 0, 5))) == 3
    assert (walk.offset, walk.has_more) == (3, True)
    assert len(walk.received(page([3, 4], 3, 5))) == 2
    assert not walk.has_more


def test_a_walk_ends_on_an_empty_page_whatever_it_says() -> None:
    walk = ResultsWalk(0, include_failed=True)
    walk.received(page([], 0, 5))
    assert not walk.has_more


def test_an_item_that_comes_to_match_during_a_walk_doubles_no_other() -> None:
    walk = ResultsWalk(0, include_failed=True)
    first = walk.received(page([4, 8], 0, 3, "failed"))
    second = walk.received(page([8, 9], 2, 4, "failed"))  # item 2 failed meanwhile, so all others moved up by one
    assert [result.item_index for result in first + second] == [4, 8, 9]


def test_failed_items_are_left_out_without_a_filter_of_the_server() -> None:
    walk = ResultsWalk(0, include_failed=False)
    assert walk.received(page([0, 1], 0, 3, "failed")) == []
    assert walk.has_more
    assert [result.item_index for result in walk.received(page([2], 2, 3, "skipped"))] == [2]
