"""Where gRPC works on threads of its own: what it is fed with, and what interrupts it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Generic, Protocol, TypeVar

R = TypeVar("R")

T = TypeVar("T")

_MOST_PENDING = 2
_LOOKS_UP_S = 0.1


def apart(work: Callable[[], T], end: Callable[[], object]) -> T:
    """Do `work`, which uses a pool of threads, on a thread of its own, and answer or raise what it does.

    On the caller's thread an interrupt within the pool's own locks would leave one of them held, for ever. One that
    comes meanwhile calls `end`, which must end the work, and is raised once that is over.
    """
    over: SimpleQueue[T | BaseException] = SimpleQueue()

    def run() -> None:
        try:
            over.put(work())
        except BaseException as error:
            over.put(error)

    def outcome() -> T | BaseException:
        while True:  # a signal that comes just before a wait does not end it
            with suppress(Empty):
                return over.get(timeout=_LOOKS_UP_S)

    threading.Thread(target=run, name="imagebatch-apart", daemon=True).start()
    try:
        came = outcome()
    except BaseException:
        end()
        outcome()
        raise
    if isinstance(came, BaseException):
        raise came
    return came


class RequestFeed(Iterator[R], Generic[R]):
    """Hand the requests of a client stream from the caller's thread to gRPC's.

    gRPC would otherwise run the caller's own generator on its thread, where database connections of the caller don't
    work, and where an exception could not reach the caller.
    """

    def __init__(self) -> None:
        # The lock itself is entered, not the condition: an interrupt on the way into that would leave it held.
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._pending: deque[R] = deque()
        self._is_closed = False
        self._is_abandoned = False

    def put(self, request: R) -> bool:
        """Wait for room, then hand `request` over. False if the call is over and takes no more."""
        with self._lock:
            self._condition.wait_for(lambda: self._is_abandoned or len(self._pending) < _MOST_PENDING)
            if self._is_abandoned:
                return False
            self._pending.append(request)
            self._condition.notify_all()
            return True

    def close(self) -> None:
        """No more requests follow: gRPC half-closes the stream after those that wait."""
        with self._lock:
            self._is_closed = True
            self._condition.notify_all()

    def abandon(self, _call: object) -> None:
        """End the sending: the call is over, by an answer, an error or a cancellation. As its done callback."""
        with self._lock:
            self._is_abandoned = True
            self._condition.notify_all()

    def __next__(self) -> R:
        with self._lock:
            self._condition.wait_for(lambda: self._pending or self._is_closed or self._is_abandoned)
            if not self._pending or self._is_abandoned:
                raise StopIteration
            self._condition.notify_all()
            return self._pending.popleft()


class Cancellable(Protocol):
    """A call that is under way."""

    def cancel(self) -> object: ...


class Ending:
    """How calls of other threads are ended: those under way are cancelled, and the next ones as soon as they begin."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._calls: set[Cancellable] = set()

    @property
    def is_closed(self) -> bool:
        return self._closed.is_set()

    def began(self, call: Cancellable) -> None:
        """Note that this call is under way now."""
        with self._lock:
            self._calls.add(call)
        if self.is_closed:  # meanwhile
            call.cancel()

    def over(self, call: Cancellable) -> None:
        """Note that it no longer is."""
        with self._lock:
            self._calls.discard(call)

    def close(self) -> None:
        """End all of them. May be called at any time, from any thread, more than once."""
        self._closed.set()
        with self._lock:
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def pause(self, pause_s: float) -> None:
        """Wait for so long, or until it is closed."""
        self._closed.wait(pause_s)


class SilenceWatchdog:
    """Call `on_silence` once when a `with` block of it has lasted `silence_s`: a read that nothing answers.

    The caller's own work between reads does not count. `stop()` ends its thread.
    """

    def __init__(self, silence_s: float, on_silence: Callable[[], object]) -> None:
        self.has_fired: bool = False
        self._silence_s = silence_s
        self._on_silence = on_silence
        self._waiting_since: float | None = None
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="imagebatch-silence", daemon=True).start()

    def __enter__(self) -> None:
        self._waiting_since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._waiting_since = None

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._silence_s / 10):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > self._silence_s:
                self.has_fired = True
                self._on_silence()
                return
