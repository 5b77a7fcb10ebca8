"""Images from URLs, each fetched in a task of its own; whoever submits them limits how many, overall and by host."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import Protocol

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.attempt import Attempt
from imagebatch_server.executors.intake import IntakeEvents
from imagebatch_server.executors.space import Space

log = structlog.get_logger(__name__)

YOUNG_S = 1.0
"""A fetch that takes longer may be one that hangs: others may be begun in its stead."""

_FIRST_USUAL_BYTES = 1024 * 1024
_NEWEST_WEIGHT = 0.1


class Fetched(Protocol):
    """A file as a host sent it."""

    @property
    def data(self) -> bytes:
        """All of it."""

    @property
    def content_type(self) -> str | None:
        """As the host named it."""


class Fetcher(Protocol):
    """Gets files from URLs."""

    async def fetch(self, url: str, *, timeout_s: float) -> Fetched:
        """Download one file. Raises ItemError, with TIMEOUT when the time is over."""


_Task = asyncio.Task[Fetched | ItemError]


class FetchEvents(IntakeEvents, Protocol):
    """What becomes of attempts that are fetched."""

    def room_to_fetch(self) -> int:
        """How many more fetches are wanted now."""

    def fetched(self, attempt: Attempt) -> None:
        """Its host's slot is free. Comes before `arrived` and `not_got`, and when it was forgotten."""

    def room_changed(self) -> None:
        """`room_to_fetch` may have grown with time."""


class Fetching:
    """Fetches what is wanted, in the order it was asked for."""

    def __init__(self, fetcher: Fetcher, space: Space, events: FetchEvents) -> None:
        self._fetcher = fetcher
        self._space = space
        self._usual_bytes = _FIRST_USUAL_BYTES
        self._events = events
        self._waiting: deque[Attempt] = deque()
        self._tasks: dict[Attempt, tuple[float, _Task]] = {}
        self._clock: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def young(self) -> int:
        """Fetches that began a short while ago, and will likely end soon."""
        oldest = asyncio.get_running_loop().time() - YOUNG_S
        count = 0
        for began, _ in reversed(self._tasks.values()):
            if began < oldest:
                break
            count += 1
        return count

    def add(self, attempt: Attempt) -> None:
        """Let an attempt wait for its turn."""
        self._waiting.append(attempt)

    def resume(self) -> None:
        """Begin what is wanted, if there is space."""
        loop = asyncio.get_running_loop()
        while self._waiting and not self._stopped and self._space.free_bytes > 0 and self._events.room_to_fetch() > 0:
            attempt = self._waiting.popleft()
            task = loop.create_task(self._fetch(attempt))
            self._tasks[attempt] = loop.time(), task
            self._space.take(self._usual_bytes)
            task.add_done_callback(partial(self._over, attempt, self._usual_bytes))
            if self._clock is None:
                self._clock = loop.call_later(YOUNG_S, self._look_at_clock)

    def forget(self, attempt: Attempt) -> None:
        """Let go of an attempt, if it is here."""
        if attempt in self._tasks:
            self._tasks[attempt][1].cancel()
        elif attempt in self._waiting:
            self._waiting.remove(attempt)
            asyncio.get_running_loop().call_soon(self._events.fetched, attempt)

    async def stop(self) -> None:
        """Fetch no more; nothing more is reported."""
        self._stopped = True
        if self._clock is not None:
            self._clock.cancel()
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetch(self, attempt: Attempt) -> Fetched | ItemError:
        dispatch = attempt.dispatch
        try:
            return await self._fetcher.fetch(dispatch.item.image_url or "", timeout_s=dispatch.timeout_s)
        except ItemError as error:
            return error
        except Exception:
            log.exception("an image can't be fetched", batch_id=dispatch.batch_id, item_index=dispatch.item.item_index)
            return ItemError(ItemErrorCode.INTERNAL, "the image could not be fetched; see the server's log")

    def _over(self, attempt: Attempt, reserved_bytes: int, task: _Task) -> None:
        # A callback, because a task that is cancelled before its first step runs nothing of its own.
        began, _ = self._tasks.pop(attempt)
        self._space.give_back(reserved_bytes)
        if self._stopped:
            return
        self._events.fetched(attempt)
        if task.cancelled():
            return
        attempt.fetch_s = asyncio.get_running_loop().time() - began
        got = task.result()
        if isinstance(got, ItemError):
            self._events.not_got(attempt, got)
        else:
            self._usual_bytes += round(_NEWEST_WEIGHT * (len(got.data) - self._usual_bytes))
            attempt.declared_type = got.content_type
            self._events.arrived(attempt, got.data)

    def _look_at_clock(self) -> None:
        self._clock = None
        if self._tasks:
            self._clock = asyncio.get_running_loop().call_later(YOUNG_S, self._look_at_clock)
        self.resume()
        self._events.room_changed()
