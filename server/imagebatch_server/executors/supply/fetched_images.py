"""Images from URLs, each fetched in a task of its own; whoever submits them limits how many, overall and by host."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.byte_budget import ByteBudget
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.supply.events import SupplyEvents
from imagebatch_server.executors.supply.fetch_session import FetchedFile, FetchRequest, MadeWay
from imagebatch_server.executors.supply.refusals import RefusalLog
from imagebatch_server.images.guard import ForbiddenHost

log = structlog.get_logger(__name__)

MOST_FETCHES = 256
"""Fetches under way, slow ones included; past it the slow ones of whoever has most of them make way."""

_MOST_DISPLACEMENTS = 5
_DISPLACED_S = 1.0
"""How long a fetch that made way for others waits for another beginning at the least."""


class Fetcher(Protocol):
    """Get files from URLs."""

    async def fetch(self, request: FetchRequest) -> FetchedFile:
        """Download one file. Raises ItemError, with TIMEOUT when the time is over; and MadeWay."""


_Task = asyncio.Task[FetchedFile | ItemError | MadeWay]


class FetchEvents(SupplyEvents, Protocol):
    """What becomes of attempts that are fetched."""

    def is_fetch_wanted(self, attempt: Attempt) -> bool:
        """Whether a fetch is to begin now."""

    def fetched(self, attempt: Attempt) -> None:
        """Its host's slot is free. Comes before `arrived` and `not_got`, and when it was forgotten."""

    def fetch_is_slow(self, attempt: Attempt) -> None:
        """Its host is slow: others may be fetched in its stead meanwhile."""


@dataclass(eq=False, slots=True)
class _Fetch:
    """A fetch under way."""

    task: _Task
    began_at: float
    held_bytes: int = 0


class FetchedImages:
    """Fetch what is wanted, in the order of turns. A fetch takes of the budget when its image has come."""

    def __init__(self, fetcher: Fetcher, budget: ByteBudget, events: FetchEvents) -> None:
        self._fetcher = fetcher
        self._budget = budget
        self._events = events
        self._waiting: list[Attempt] = []
        self._fetches: dict[Attempt, _Fetch] = {}
        self._slow: dict[Attempt, None] = {}
        """Of these, those whose host is slow, in the order in which it was found out."""
        self._displaced: Counter[Attempt] = Counter()
        """How often each attempt made way for others."""
        self._later: dict[Attempt, asyncio.TimerHandle] = {}
        """Attempts that made way, and wait for another beginning."""
        self._slot_free: set[Attempt] = set()
        """Attempts whose file has arrived, so that their host's slot was given back."""
        self._refusals = RefusalLog()
        self._stopped = False

    @property
    def quick(self) -> int:
        """Fetches that will likely end soon."""
        return len(self._fetches) - len(self._slow)

    def add(self, attempt: Attempt) -> None:
        """Let an attempt wait for its turn."""
        self._waiting.append(attempt)

    def resume(self) -> None:
        """Begin what is wanted, if there is space."""
        while self._waiting and not self._stopped and self._budget.free_bytes > 0:
            first = min(self._waiting, key=lambda attempt: attempt.dispatch.turn_ms)
            if not self._events.is_fetch_wanted(first):
                return
            if len(self._fetches) >= MOST_FETCHES and not self._make_way():
                return
            self._waiting.remove(first)
            self._begin(first)

    def forget(self, attempt: Attempt) -> None:
        """Let go of an attempt, if it is here."""
        if attempt in self._fetches:
            self._fetches[attempt].task.cancel()
        elif attempt in self._waiting or attempt in self._later:
            if attempt in self._later:
                self._later.pop(attempt).cancel()
            else:
                self._waiting.remove(attempt)
            asyncio.get_running_loop().call_soon(self._free_slot, attempt)

    async def stop(self) -> None:
        """Fetch no more; nothing more is reported."""
        self._stopped = True
        for timer in self._later.values():
            timer.cancel()
        tasks = [fetch.task for fetch in self._fetches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, attempt: Attempt) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._fetch(attempt))
        self._fetches[attempt] = _Fetch(task, loop.time())
        task.add_done_callback(partial(self._over, attempt))

    def _make_way(self) -> bool:
        """End the oldest slow fetch of the tenant, and of its batch, that has most of them; it is begun again later."""
        slow = [attempt for attempt in self._slow if not self._fetches[attempt].task.cancelling()]
        tenants = Counter(attempt.dispatch.tenant for attempt in slow)
        batches = Counter(attempt.dispatch.batch_id for attempt in slow)
        if not slow:
            return False
        # Of equals the first, which is the oldest.
        most = max(slow, key=lambda one: (tenants[one.dispatch.tenant], batches[one.dispatch.batch_id]))
        self._fetches[most].task.cancel()
        return True

    async def _fetch(self, attempt: Attempt) -> FetchedFile | ItemError | MadeWay:
        dispatch = attempt.dispatch
        request = FetchRequest(
            dispatch.tenant,
            dispatch.batch_id,
            dispatch.item.image_url or "",
            dispatch.timeout_s,
            on_slow=partial(self._slowed, attempt),
            admit=partial(self._admit, attempt),
        )
        try:
            return await self._fetcher.fetch(request)
        except (ItemError, MadeWay) as error:
            if isinstance(error, ForbiddenHost):
                self._refusals.note(dispatch.batch_id, dispatch.item.item_index, error)
            return error.with_traceback(None)
        except Exception:
            log.exception("fetch.failed", batch_id=dispatch.batch_id, item_index=dispatch.item.item_index)
            return ItemError(ItemErrorCode.INTERNAL, "the image could not be fetched; see the server's log")

    def _slowed(self, attempt: Attempt) -> None:
        if attempt in self._fetches and attempt not in self._slow and attempt not in self._slot_free:
            self._slow[attempt] = None
            self._events.fetch_is_slow(attempt)
            self.resume()

    async def _admit(self, attempt: Attempt, size_bytes: int) -> None:
        self._slow.pop(attempt, None)
        self._free_slot(attempt)
        fetch = self._fetches[attempt]
        self._budget.give_back(fetch.held_bytes)  # of a file that was lost with its process
        fetch.held_bytes = 0
        while self._budget.free_bytes <= 0:
            await self._budget.given_back()
        fetch.held_bytes = size_bytes
        self._budget.take(size_bytes)

    def _free_slot(self, attempt: Attempt) -> None:
        if attempt not in self._slot_free:
            self._slot_free.add(attempt)
            self._events.fetched(attempt)

    def _over(self, attempt: Attempt, task: _Task) -> None:
        # A callback, because a task that is cancelled before its first step runs nothing of its own.
        fetch = self._fetches.pop(attempt)
        self._slow.pop(attempt, None)
        self._budget.give_back(fetch.held_bytes)
        if self._stopped:
            return
        got = MadeWay() if task.cancelled() else task.result()
        if isinstance(got, MadeWay) and not attempt.forgotten:
            self._displaced[attempt] += 1
            if self._displaced[attempt] <= _MOST_DISPLACEMENTS:
                later = asyncio.get_running_loop().call_later(_DISPLACED_S, self._begin_again, attempt)
                self._later[attempt] = later
                return
        self._free_slot(attempt)
        self._slot_free.discard(attempt)
        del self._displaced[attempt]
        if attempt.forgotten:
            return
        if isinstance(got, FetchedFile):
            attempt.fetch_s = got.took_s
            attempt.declared_type = got.content_type
            self._events.arrived(attempt, got.data)
        else:
            attempt.fetch_s = asyncio.get_running_loop().time() - fetch.began_at
            self._events.not_got(attempt, got if isinstance(got, ItemError) else _in_the_way())

    def _begin_again(self, attempt: Attempt) -> None:
        del self._later[attempt]
        self._waiting.append(attempt)
        self.resume()


def _in_the_way() -> ItemError:
    return ItemError(
        ItemErrorCode.FETCH_FAILED,
        "the host sent so slowly that this image made way for others again and again; try a faster host or upload it",
        transient=True,
    )
