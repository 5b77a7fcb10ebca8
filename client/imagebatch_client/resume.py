"""The decisions that both clients share: whether and when to try again, where a watch resumes, where the next page is.

Nothing here does I/O or sleeps: times come from `clock`, and pauses are answered as numbers of seconds.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable

import grpc

from imagebatch_client.errors import BatchFailedError, BatchTimeoutError, ImagebatchError, UnavailableError
from imagebatch_client.settings import ConnectionSettings
from imagebatch_client.types import (
    BatchItemResult,
    BatchItemStatus,
    BatchResults,
    BatchStatus,
    BatchStatusResult,
    WatchUpdate,
)

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_ATTEMPTS_TO_REACH = 6
_FAILURES_TO_TELL = 5
"""In a row, about 5 s: somebody may be waiting, and is told why."""

_log = logging.getLogger("imagebatch_client")
_log.addHandler(logging.NullHandler())

# What proxies and gRPC itself report for a stream that was cut; from our server these codes come with a reason.
_CUT_STREAM_CODES = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)

# After its time is up, a wait asks once more whether the batch has ended: a server that is there answers at once.
LAST_LOOK_S = 5.0

# A wait wants the status alone, and a filter that most batches have no outcome for keeps the outputs from being sent.
WAIT_STATUSES = (BatchItemStatus.SKIPPED,)


class Backoff:
    """Pauses that double from 0.2 s to 5 s, each between half and all of that, so that clients don't return in step."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._next_s = _FIRST_PAUSE_S

    def pause_s(self, retry_after_s: float | None) -> float:
        """Choose the next pause, no shorter than what the server asked for."""
        pause_s = self._next_s * (0.5 + self._draw() / 2)
        self._next_s = min(self._next_s * 2, _LONGEST_PAUSE_S)
        return max(pause_s, retry_after_s or 0.0)

    def reset(self) -> None:
        self._next_s = _FIRST_PAUSE_S


class CallAttempts:
    """The attempts of one call that is safe to repeat, bounded together by `timeout_s`.

    A server that was reached before (`was_reached`, or by this call) is waited for until then: it may be starting
    again. One that never was has six attempts, about 5 s: the address may be wrong, and the caller is to be told.
    """

    def __init__(self, timeout_s: float, was_reached: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._was_reached = was_reached
        self._deadline = clock() + timeout_s
        self._backoff = Backoff()
        self._failed = 0

    @property
    def is_repeat(self) -> bool:
        """Whether an earlier attempt was made, which may have been carried out without its answer arriving."""
        return self._failed > 0

    def remaining_s(self) -> float:
        return max(self._deadline - self._clock(), 0.0)

    def pause_s(self, failure: ImagebatchError) -> float:
        """How long to wait before the next attempt. Raises `failure` if there is to be none."""
        pause_s = self._backoff.pause_s(failure.retry_after_s)
        self._was_reached = self._was_reached or bool(failure.reason)
        is_last = self._failed + 1 == _ATTEMPTS_TO_REACH and not self._was_reached
        if not _is_passing(failure) or is_last or pause_s >= self.remaining_s():
            raise failure
        self._failed += 1
        if self._failed == _FAILURES_TO_TELL and self._was_reached:
            _log.warning("still trying: %s", failure)
        return pause_s


def _is_passing(failure: ImagebatchError) -> bool:
    if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return failure.retry_after_s is not None
    return failure.code is grpc.StatusCode.UNAVAILABLE


class WatchProgress:
    """One watch, over as many streams as it takes: its position, and whether it goes on after an interruption."""

    def __init__(
        self,
        after_sequence: int,
        settings: ConnectionSettings,
        timeout_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.position: int = after_sequence
        self.is_finished: bool = False
        self.last_status: BatchStatusResult | None = None
        self._settings = settings
        self._clock = clock
        self._deadline = None if timeout_s is None else clock() + timeout_s
        self._had_contact = False
        self._last_contact = clock()
        self._backoff = Backoff()

    def remaining_s(self) -> float | None:
        """Seconds until the caller's own timeout; None if there is none."""
        return None if self._deadline is None else max(self._deadline - self._clock(), 0.0)

    def is_expired(self) -> bool:
        return self.remaining_s() == 0.0

    def received(self, update: WatchUpdate) -> WatchUpdate:
        """Move the position to the end of `update`, and answer it without what was received before."""
        self._had_contact, self._last_contact = True, self._clock()
        self._backoff.reset()
        fresh = [result for result in update.results if result.sequence is None or result.sequence > self.position]
        self.position = max(self.position, update.sequence, *(result.sequence or 0 for result in fresh))
        if update.status is not None:
            self.saw(update.status)
        return WatchUpdate(results=fresh, status=update.status, sequence=self.position)

    def saw(self, status: BatchStatusResult) -> None:
        """Take note of a newer status."""
        self.last_status = status
        self.is_finished = status.is_terminal()

    def pause_s(self, failure: ImagebatchError | None) -> float:
        """How long to wait before the stream is opened again at `position`.

        `failure` is what ended the stream; None if it ended in good order before the batch did, or fell silent. Raises
        it if watching on can't help, or if the server has been out of reach for too long.
        """
        if failure is not None and not _is_cut(failure):
            raise failure
        patience_s = self._settings.reconnect_for_s if self._had_contact else self._settings.timeout_s
        retry_after_s = failure.retry_after_s if failure else None
        pause_s = self._backoff.pause_s(retry_after_s)
        if self._clock() + pause_s - self._last_contact > patience_s:
            raise failure or UnavailableError(
                f"the server at {self._settings.address} has sent nothing for {patience_s:.0f} s; "
                f"watch again with after_sequence={self.position}"
            )
        remaining_s = self.remaining_s()
        return pause_s if remaining_s is None else min(pause_s, remaining_s)


def _is_cut(failure: ImagebatchError) -> bool:
    return _is_passing(failure) or (not failure.reason and failure.code in _CUT_STREAM_CODES)


def timeout_error(
    batch_id: str, timeout_s: float | None, progress: WatchProgress, failure: ImagebatchError | None = None
) -> BatchTimeoutError:
    """Make the error of a wait or a watch whose time is up; `failure` is why the server could not be asked."""
    status = progress.last_status
    if status is None:
        why = "" if failure is None else f": {failure}"
        return BatchTimeoutError(f"batch {batch_id}: no status was seen within {timeout_s} s{why}", None)
    done = f"{status.processed_items} of {status.total_items} items have an outcome"
    now = "it goes on" if failure is None else f"whether it goes on is not known: {failure}"
    return BatchTimeoutError(f"batch {batch_id} has not ended within {timeout_s} s: {done}; {now}", status)


def last_look_failed(
    batch_id: str, timeout_s: float | None, progress: WatchProgress, failure: ImagebatchError
) -> ImagebatchError:
    """Make the error of a wait whose time is up, and whose last question was answered by `failure`."""
    if progress.last_status is None and not _is_out_of_reach(failure):
        return failure  # such as a batch that does not exist
    return timeout_error(batch_id, timeout_s, progress, failure)


def _is_out_of_reach(failure: ImagebatchError) -> bool:
    return failure.code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def ended(status: BatchStatusResult) -> BatchStatusResult:
    """Answer a wait's status. Raises BatchFailedError if it is failed."""
    if status.status is BatchStatus.FAILED:
        raise BatchFailedError(
            f"batch {status.batch_id} failed: none of its {status.total_items} items succeeded, "
            f"{status.failed_items} failed; get_results tells why each one did",
            status,
        )
    return status


class ResultsWalk:
    """A walk over all pages of a batch's results: where the next page is, and which of its items are new.

    Failed items are left out here rather than by the server's filter: without a filter pages cost the same however far
    they are, and outcomes that are recorded during the walk move no item from one page to another.
    """

    def __init__(self, offset: int, include_failed: bool) -> None:
        self.offset: int = offset
        self.has_more: bool = True
        self._include_failed = include_failed
        self._last_index = -1

    def received(self, page: BatchResults) -> list[BatchItemResult]:
        """Move on to the next page, and answer what the caller gets of this one."""
        # With the server's filters, an item that comes to match shifts those after it into the next page again.
        fresh = [result for result in page.results if result.item_index > self._last_index]
        if fresh:
            self._last_index = fresh[-1].item_index
        self.offset += len(page.results)
        self.has_more = page.pagination.has_more and bool(page.results)
        if self._include_failed:
            return fresh
        return [result for result in fresh if result.status is not BatchItemStatus.FAILED]
