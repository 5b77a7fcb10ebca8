"""A client stream whose messages fail is cancelled and never half-closed: a server would take it for a whole batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imagebatch_client import AsyncBatchClient, BatchClient


class StandInMethod:
    """gRPC's side of a client stream: it half-closes when its iterator ends, unless the call was cancelled before."""

    def __init__(self, answer_after: int | None = None) -> None:
        self.sent: list[int] = []
        self.events: list[str] = []
        self._answer_after = answer_after
        self._thread = ThreadPoolExecutor(1)
        self._over: Callable[[object], None]

    def future(self, requests: Iterator[int], timeout: float, metadata: object) -> StandInMethod:
        self._consumed = self._thread.submit(self._consume, requests)
        return self

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self._over = callback

    def cancel(self) -> None:
        self.events.append("cancelled")
        self._over(self)

    def result(self) -> str:
        self._consumed.result(10)
        return "answer"

    def _consume(self, requests: Iterator[int]) -> None:
        for request in requests:
            self.sent.append(request)
            if len(self.sent) == self._answer_after:
                self._over(self)
                return
        if not self.events:
            self.events.append("half-closed")


def send_sync(method: StandInMethod, messages: Iterator[int]) -> Any:
    with BatchClient() as client:
        return client._send(method, messages, 1.0)  # type: ignore[arg-type,type-var]


def send_aio(method: StandInMethod, messages: Iterator[int]) -> Any:
    async def each() -> AsyncIterator[int]:
        for message in messages:
            yield message

    async def send() -> Any:
        async with AsyncBatchClient() as client:
            return await client._send(method, each(), 1.0)  # type: ignore[arg-type,type-var]

    return asyncio.run(send())


@pytest.fixture(params=[send_sync, send_aio], ids=["sync", "aio"])
def send(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_messages_are_sent_in_order_and_then_the_stream_is_half_closed(send: Any) -> None:
    method = StandInMethod()
    assert send(method, iter(range(50))) == "answer"
    assert (method.sent, method.events) == (list(range(50)), ["half-closed"])


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_of_the_messages_cancels_the_call(send: Any, error: type[BaseException]) -> None:
    def failing() -> Iterator[int]:
        yield from range(10)
        raise error

    method = StandInMethod()
    with pytest.raises(error):
        send(method, failing())
    assert method.events == ["cancelled"]


def test_an_early_answer_stops_the_reading_of_messages(send: Any) -> None:
    method = StandInMethod(answer_after=3)
    messages = iter(range(1000))
    assert send(method, messages) == "answer"
    assert method.sent == [0, 1, 2]
    assert next(messages) < 10
