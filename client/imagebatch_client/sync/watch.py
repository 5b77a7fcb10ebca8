"""A watch as an iterator that survives cut streams, and that another thread can end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import grpc

from imagebatch.v1 import batch_service_pb2
from imagebatch_client import convert, errors
from imagebatch_client.resume import WatchProgress
from imagebatch_client.threads import Ending, SilenceWatchdog
from imagebatch_client.types import WatchUpdate

T = TypeVar("T")


class WatchCall(Protocol):
    """A stream of WatchBatch, as gRPC gives it."""

    def __iter__(self) -> Iterator[batch_service_pb2.WatchBatchResponse]: ...

    def __next__(self) -> batch_service_pb2.WatchBatchResponse: ...

    def cancel(self) -> object: ...


class Watch(Iterator[T], Generic[T]):
    """What a watch yields, one by one. `close()` ends it, also from another thread than the one that waits in it.

    After `close()` nothing more is yielded: the iteration ends as it does after the batch's end. Closing never touches
    the batch. As a context manager, it closes itself.
    """

    def __init__(
        self,
        updates: Callable[[Ending], Iterator[WatchUpdate]],
        parts: Callable[[WatchUpdate], Iterable[T]],
    ) -> None:
        self._ending = Ending()
        self._updates = updates(self._ending)
        self._parts = parts
        self._ready: deque[T] = deque()

    def __next__(self) -> T:
        while True:
            if self._ending.is_closed:
                raise StopIteration
            if self._ready:
                return self._ready.popleft()
            self._ready.extend(self._parts(next(self._updates)))

    def close(self) -> None:
        """End the watch. May be called at any time, from any thread, more than once."""
        self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def updates(
    open_stream: Callable[[int, float | None], WatchCall],
    failed: Callable[[grpc.RpcError], errors.ImagebatchError | None],
    progress: WatchProgress,
    silence_s: float,
    ending: Ending,
) -> Generator[WatchUpdate, None, None]:
    """Answer the updates of a watch over as many streams as it takes, until it ends, is closed or its time is up.

    `open_stream` is given the position to resume at and the seconds left. `failed` answers None for a failure after
    which the stream is opened again at once, as after one that ended in good order.
    """
    while not (ending.is_closed or progress.is_expired()):
        failure = None
        call = open_stream(progress.position, progress.remaining_s())
        ending.began(call)
        watchdog = SilenceWatchdog(silence_s, call.cancel)
        try:
            while True:
                with watchdog:
                    message = next(call, None)
                if message is None:
                    break
                yield progress.received(convert.watch_update(message))
        except grpc.RpcError as error:
            failure = None if watchdog.has_fired or ending.is_closed else failed(error)
        finally:
            watchdog.stop()
            ending.over(call)
            call.cancel()
        if progress.is_finished or progress.is_expired() or ending.is_closed:
            return
        ending.pause(progress.pause_s(failure))
