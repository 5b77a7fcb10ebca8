"""The executor of one lane: images are brought to this process, and run by a pool of workers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import AttemptResult, Dispatch
from imagebatch_server.batches.ports.execution import DispatchEvents
from imagebatch_server.batches.ports.objects import BlobReader, BlobStore, BucketImages
from imagebatch_server.byte_budget import ByteBudget
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.attempts.backlog import Backlog
from imagebatch_server.executors.attempts.worker_pool import CHUNK_S, WorkerPool
from imagebatch_server.executors.protocol.messages import Done
from imagebatch_server.executors.supply.delivered_images import DeliveredImages
from imagebatch_server.executors.supply.events import OnFetch
from imagebatch_server.executors.supply.fetched_images import FetchedImages, Fetcher
from imagebatch_server.executors.supply.result_images import ResultImages
from imagebatch_server.executors.supply.stored_images import StoredImages
from imagebatch_server.trace_context import log_fields

log = structlog.get_logger(__name__)

_STORED_AHEAD_S = 2 * CHUNK_S
_FETCHED_AHEAD_S = 1.0
"""Work for each worker that is brought ahead; of fetched images about what a fetch takes, for fetches are slow."""
_SOON_S = _STORED_AHEAD_S + CHUNK_S
"""Behind so much work quick items wait their turn: what is stored is no more, but for a chunk that is under way."""


_LOG_FAILURES_S = 1.0


class PooledExecutor:
    """Bring attempts their images, have workers run them, store what images they make. Belongs to one event loop."""

    def __init__(
        self,
        *,
        pool: WorkerPool,
        fetcher: Fetcher,
        blobs: BlobStore,
        reader: BlobReader | None = None,
        buckets: BucketImages | None = None,
        max_image_bytes: int,
        max_ready_bytes: int,
        resolve: Callable[[str, bytes | None], str] = lambda operation, _: operation,
        chunk_items: Mapping[str, int] | None = None,
        on_fetch: OnFetch = lambda _dispatch, _code, _took_s, _size_bytes: None,
    ) -> None:
        """Take what all attempts need.

        `reader` reads stored images, if `blobs` does not. `resolve` says by which name the pool knows a dispatch's
        operation with its parameters. `chunk_items` are the items that an operation takes at once, for those that do.
        `max_ready_bytes` bounds the images that wait for a worker or are with one: past it no other is read or fetched.
        """
        self._pool = pool
        self._chunk_items = chunk_items or {}
        self._on_fetch = on_fetch
        self._budget = ByteBudget(max_ready_bytes)
        self._fetched_images = FetchedImages(fetcher, self._budget, self)
        self._stored_images = StoredImages(reader or blobs, max_image_bytes, self._budget, self)
        self._result_images = ResultImages(blobs, self)
        self._delivered_images = DeliveredImages(buckets, self)
        workers, at_once = pool.workers, pool.items_at_once
        self._stored_backlog = Backlog(workers=workers, ahead_s=_STORED_AHEAD_S, least_items=2 * at_once)
        self._fetched_backlog = Backlog(workers=workers, ahead_s=_FETCHED_AHEAD_S, least_items=4 * at_once)
        self._resolve = resolve
        self._attempts: dict[int, Attempt] = {}
        self._last_operation = ""
        self._turn_is_due = False
        self._stopping = False
        self._turned = asyncio.Event()
        self._logged_failure_at = float("-inf")
        self._events: DispatchEvents

    @property
    def alive(self) -> int:
        """Workers that take items."""
        return self._pool.alive

    @property
    def restarts(self) -> int:
        """Workers that were replaced, after a crash, a timeout or for holding too much memory."""
        return self._pool.restarts

    async def start(self, events: DispatchEvents) -> None:
        """Start the pool. Raises WorkersCannotStart."""
        self._events = events
        await self._pool.start(self)

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more, wait at most `grace_s` for what the workers have, then end them.

        What ends meanwhile is reported; what does not end is not.
        """
        self._stopping = True
        self._pool.close()
        await asyncio.gather(self._fetched_images.stop(), self._stored_images.stop())
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._pool.is_busy or self._result_images.is_busy or self._delivered_images.is_busy:
                    self._turned.clear()
                    await self._turned.wait()
        await asyncio.gather(self._pool.stop(), self._result_images.stop(), self._delivered_images.stop())

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt; never blocks. One `finished` follows, unless it is forgotten or the executor stops."""
        operation = self._resolve(dispatch.operation, dispatch.parameters)
        attempt = Attempt(dispatch, operation, dispatch.item.declared_type)
        self._attempts[id(dispatch)] = attempt
        self._last_operation = operation
        if dispatch.item.image_url is not None:
            self._fetched_images.add(attempt)
        else:
            self._count(attempt, self._stored_backlog)
            self._stored_images.add(attempt)
            self._stored_images.resume()
        self._turn_soon()

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt: neither `started` nor `finished` comes any more, a due `fetched` still does.

        A worker that has it already may run it all the same.
        """
        attempt = self._attempts.get(id(dispatch))
        if attempt is not None:
            attempt.forgotten = True
            self._let_go(attempt)
            self._fetched_images.forget(attempt)
            self._pool.forget(attempt)
            self._turn_soon()

    def withdraw(self, dispatch: Dispatch) -> bool:
        """Forget an attempt, unless a worker has it; answers whether it is forgotten."""
        attempt = self._attempts.get(id(dispatch))
        if attempt is None or attempt.is_taken:
            return False
        self.forget(dispatch)
        return True

    def room(self) -> int:
        """How many more stored images are wanted, to keep the workers busy and no more.

        Of quick items, none until a third of what is wanted has been used: read one by one their images would take as
        much of the processor as some operations do. Of others each is wanted as soon as one has ended.
        """
        room = self._room(self._stored_backlog)
        return 0 if self._is_quick() and room <= self._stored_backlog.items // 2 else room

    def room_to_fetch(self) -> int:
        """How many more fetches are wanted; those that are given beyond it wait, and keep their host's slot."""
        return self._room(self._fetched_backlog) - self._fetched_images.quick

    @property
    def first_turn_ms(self) -> float:
        """The turn that a worker takes next; inf if nothing is ready."""
        return self._pool.first_turn_ms

    @property
    def last_turn_ms(self) -> float:
        """The last turn that waits for a worker or for its image; -inf where all that waits is soon done."""
        if self._is_quick() and self._waiting_s() <= _SOON_S:
            return -math.inf
        waiting = (attempt.dispatch.turn_ms for attempt in self._attempts.values() if not attempt.is_taken)
        return max(waiting, default=-math.inf)

    def is_fetch_wanted(self, attempt: Attempt) -> bool:
        """Tell whether a fetch is to begin now: there is room, or it goes before what waits."""
        return self.room_to_fetch() > 0 or attempt.dispatch.turn_ms < self.last_turn_ms

    def _waiting_s(self) -> float:
        return (self._stored_backlog.work_s + self._fetched_backlog.work_s) / self._pool.workers

    def _is_quick(self) -> bool:
        return self._pool.expected_s(self._last_operation) < CHUNK_S

    def _room(self, backlog: Backlog) -> int:
        operation = self._last_operation
        return backlog.room(self._pool.expected_s(operation), least_items=2 * self._chunk_items.get(operation, 0))

    def _turn_soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Whatever happened, begin what can be begun now."""
        self._turn_is_due = False
        if not self._stopping:
            self._pool.pump()
            self._stored_images.resume()
            self._fetched_images.resume()
        self._turned.set()

    def _count(self, attempt: Attempt, backlog: Backlog) -> None:
        attempt.backlog = backlog
        attempt.expected_s = self._pool.expected_s(attempt.operation)
        backlog.add(attempt.expected_s)

    def _hold(self, attempt: Attempt, data: bytes) -> None:
        if data:
            self._budget.take(len(data))
        if attempt.data:
            self._budget.give_back(len(attempt.data))
        attempt.data = data

    def _let_go(self, attempt: Attempt) -> None:
        del self._attempts[id(attempt.dispatch)]
        self._hold(attempt, b"")
        if attempt.backlog is not None:
            attempt.backlog.remove(attempt.expected_s)
            attempt.backlog = None

    def _finish(self, attempt: Attempt, result: AttemptResult) -> None:
        if not attempt.forgotten:
            self._let_go(attempt)
            self._events.finished(result)
            self._turn_soon()

    # What fetching and reading ask for and report.

    def arrived(self, attempt: Attempt, data: bytes) -> None:
        if attempt.forgotten:
            return
        self._hold(attempt, data)
        attempt.image_bytes = len(data)
        if attempt.dispatch.item.image_url is not None:
            self._on_fetch(attempt.dispatch, None, attempt.fetch_s, len(data))
            self._events.answered(attempt.dispatch)
        if attempt.backlog is None:
            self._count(attempt, self._fetched_backlog)
        self._pool.add(attempt)
        self._turn_soon()

    def not_got(self, attempt: Attempt, error: ItemError) -> None:
        if attempt.dispatch.item.image_url is not None:
            self._on_fetch(attempt.dispatch, error.code, attempt.fetch_s, 0)
            if error.code in (ItemErrorCode.FETCH_FAILED, ItemErrorCode.TOO_LARGE) and not error.transient:
                self._events.answered(attempt.dispatch)
        self._finish(attempt, attempt.failure(error))

    def fetched(self, attempt: Attempt) -> None:
        self._events.fetched(attempt.dispatch)

    def fetch_is_slow(self, attempt: Attempt) -> None:
        self._events.fetch_is_slow(attempt.dispatch)

    # What the pool and the storing of results report.

    def started(self, attempt: Attempt) -> None:
        if not attempt.forgotten:
            self._events.started(attempt.dispatch)

    def done(self, attempt: Attempt, done: Done) -> None:
        if done.traceback is not None:
            self._log_failure(attempt, done.traceback)
        if attempt.forgotten:
            return
        made = done.stored if attempt.dispatch.output_prefix is None else None
        if made is None and done.preview is None:
            self.kept(attempt, done)
        else:
            self._hold(attempt, b"" if done.stored is None else done.stored.data)
            self._result_images.add(attempt, done, made)

    def _log_failure(self, attempt: Attempt, traceback: str) -> None:
        # Now and then: a million items that fail alike must not fill the disk; each outcome has the error's message.
        now = asyncio.get_running_loop().time()
        if now - self._logged_failure_at >= _LOG_FAILURES_S:
            self._logged_failure_at = now
            log.error("item.operation_failed", **_names(attempt), traceback=traceback)

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        if error.code in (ItemErrorCode.TIMEOUT, ItemErrorCode.WORKER_CRASHED):
            log.warning("item.worker_lost", **_names(attempt), why=error.message)
        self._finish(attempt, attempt.failure(error, run_s))

    def kept(self, attempt: Attempt, done: Done) -> None:
        if done.stored is None or attempt.dispatch.output_prefix is None:
            self._finish(attempt, attempt.result(done))
        else:
            self._delivered_images.add(attempt, done, done.stored)

    def delivered(self, attempt: Attempt, done: Done) -> None:
        self._finish(attempt, attempt.result(done))

    def progressed(self) -> None:
        self._turn()


def _names(attempt: Attempt) -> dict[str, object]:
    dispatch = attempt.dispatch
    return {
        "batch_id": dispatch.batch_id,
        "item_index": dispatch.item.item_index,
        "operation": attempt.operation,
        "attempt": dispatch.attempt,
        **log_fields(dispatch.traceparent),
    }
