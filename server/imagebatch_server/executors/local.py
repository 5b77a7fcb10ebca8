"""The executor of one machine: images are brought here, and run in child processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import AttemptResult, Dispatch, StoredObject
from imagebatch_server.batches.ports import BlobStore, DispatchEvents
from imagebatch_server.executors.attempt import Attempt
from imagebatch_server.executors.fetching import Fetcher, Fetching
from imagebatch_server.executors.keeping import Keeping
from imagebatch_server.executors.life import ChildSettings
from imagebatch_server.executors.load import Load
from imagebatch_server.executors.messages import Done
from imagebatch_server.executors.pool import Pool
from imagebatch_server.executors.reading import Reading
from imagebatch_server.executors.ready import CHUNK_S
from imagebatch_server.executors.space import Space
from imagebatch_server.operations.configuration import Configuration

log = structlog.get_logger(__name__)

_STORED_AHEAD_S = 2 * CHUNK_S
_FETCHED_AHEAD_S = 1.0
"""Work for each worker that is brought ahead; of fetched images about what a fetch takes, for fetches are slow."""


_LOG_FAILURES_S = 1.0


class LocalExecutor:
    """Runs attempts in supervised child processes, all of one kind. Belongs to one event loop.

    Serial ones are the workers, and start with the server. A concurrent one runs asynchronous operations, and starts
    when it is first needed.
    """

    def __init__(
        self,
        *,
        operations: Mapping[str, str],
        fetcher: Fetcher,
        blobs: BlobStore,
        workers: int,
        memory_bytes: int,
        max_image_bytes: int,
        max_image_pixels: int,
        max_ready_bytes: int,
        warm: Sequence[str] = (),
        load_timeout_s: float = 120.0,
        resolve: Callable[[str, bytes | None], str] = lambda operation, _: operation,
        chunk_items: Mapping[str, int] | None = None,
        concurrency: int | None = None,
        configuration: Configuration | None = None,
    ) -> None:
        """`operations` are import references, `module:Class`, by name; those in `warm` are loaded before they are asked
        for. `resolve` says by which of these names a dispatch's operation is run with its parameters. `chunk_items` are
        the items that a chunk operation takes at once. `concurrency` is the items that a child has in flight, and makes
        children concurrent. `memory_bytes` caps each child; `max_ready_bytes` the images that wait for a child or are
        with one, past which no other is read or fetched.
        """
        settings = ChildSettings(
            operations,
            warm,
            max_image_pixels,
            memory_bytes,
            load_timeout_s,
            concurrency,
            configuration or Configuration(),
        )
        self._is_concurrent = concurrency is not None
        self._chunk_items = chunk_items or {}
        self._pool = Pool(settings, workers, self._chunk_items, self)
        self._space = Space(max_ready_bytes)
        self._fetching = Fetching(fetcher, self._space, self)
        self._reading = Reading(blobs, max_image_bytes, self._space, self)
        self._keeping = Keeping(blobs, self)
        in_flight = concurrency or 1
        self._stored_load = Load(workers=workers, ahead_s=_STORED_AHEAD_S, least_items=2 * in_flight)
        self._fetched_load = Load(workers=workers, ahead_s=_FETCHED_AHEAD_S, least_items=4 * in_flight)
        self._resolve = resolve
        self._attempts: dict[int, Attempt] = {}
        self._last_operation = ""
        self._turn_is_due = False
        self._stopping = False
        self._turned = asyncio.Event()
        self._logged_failure_at = float("-inf")
        self._events: DispatchEvents

    @property
    def workers_alive(self) -> int:
        """Workers whose child takes items."""
        return self._pool.alive

    @property
    def workers_restarted(self) -> int:
        """Children that were replaced, after a crash, a timeout or for holding too much memory."""
        return self._pool.restarts

    async def start(self, events: DispatchEvents) -> None:
        """Start the children, and wait for the first to run; they take items once the warm operations are loaded.

        Raises WorkersCannotStart. A concurrent child is not waited for: it starts when it is needed.
        """
        self._events = events
        if not self._is_concurrent:
            await self._pool.start()

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more, wait at most `grace_s` for what the children have, then end them.

        What ends meanwhile is reported; what does not end is not.
        """
        self._stopping = True
        self._pool.close()
        await asyncio.gather(self._fetching.stop(), self._reading.stop())
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._pool.is_busy or self._keeping.is_busy:
                    self._turned.clear()
                    await self._turned.wait()
        await asyncio.gather(self._pool.stop(), self._keeping.stop())

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt; never blocks. One `finished` follows, unless it is forgotten or the executor stops."""
        operation = self._resolve(dispatch.operation, dispatch.parameters)
        attempt = Attempt(dispatch, operation, dispatch.item.declared_type)
        self._attempts[id(dispatch)] = attempt
        self._last_operation = operation
        if dispatch.item.image_url is not None:
            self._fetching.add(attempt)
        else:
            self._count(attempt, self._stored_load)
            self._reading.add(attempt)
        self._turn_soon()

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt: neither `started` nor `finished` comes any more, a due `fetched` still does.

        A child that has it already may run it all the same.
        """
        attempt = self._attempts.get(id(dispatch))
        if attempt is not None:
            attempt.forgotten = True
            self._let_go(attempt)
            self._fetching.forget(attempt)
            self._pool.forget(attempt)
            self._turn_soon()

    def room(self) -> int:
        """How many more stored images are wanted, to keep the workers busy and no more.

        Of quick items, none until a third of what is wanted has been used: read one by one their images would take as
        much of the processor as some operations do. Of others each is wanted as soon as one has ended.
        """
        room = self._room(self._stored_load)
        is_quick = self._pool.expected_s(self._last_operation) < CHUNK_S
        return 0 if is_quick and room <= self._stored_load.items // 2 else room

    def room_to_fetch(self) -> int:
        """How many more fetches are wanted; those that are given beyond it wait, and keep their host's slot."""
        return self._room(self._fetched_load) - self._fetching.young

    def _room(self, load: Load) -> int:
        operation = self._last_operation
        return load.room(self._pool.expected_s(operation), least_items=2 * self._chunk_items.get(operation, 0))

    def _turn_soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Whatever happened, begin what can be begun now."""
        self._turn_is_due = False
        if not self._stopping:
            self._pool.pump()
            self._reading.resume()
            self._fetching.resume()
        self._turned.set()

    def _count(self, attempt: Attempt, load: Load) -> None:
        attempt.load = load
        attempt.expected_s = self._pool.expected_s(attempt.operation)
        load.add(attempt.expected_s)

    def _hold(self, attempt: Attempt, data: bytes) -> None:
        self._space.take(len(data))
        self._space.give_back(len(attempt.data))
        attempt.data = data

    def _let_go(self, attempt: Attempt) -> None:
        del self._attempts[id(attempt.dispatch)]
        self._hold(attempt, b"")
        if attempt.load is not None:
            attempt.load.remove(attempt.expected_s)
            attempt.load = None

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
        if attempt.load is None:
            self._count(attempt, self._fetched_load)
        self._pool.begin()
        self._pool.add(attempt)
        self._turn_soon()

    def not_got(self, attempt: Attempt, error: ItemError) -> None:
        self._finish(attempt, attempt.failure(error))

    def fetched(self, attempt: Attempt) -> None:
        self._events.fetched(attempt.dispatch)

    def room_changed(self) -> None:
        self._events.room_changed()

    # What the workers and the keeping of results report.

    def started(self, attempt: Attempt) -> None:
        if not attempt.forgotten:
            self._events.started(attempt.dispatch)

    def done(self, attempt: Attempt, done: Done) -> None:
        if done.traceback is not None:
            self._log_failure(attempt, done.traceback)
        if done.stored is None:
            self._finish(attempt, attempt.result(done))
        elif not attempt.forgotten:
            self._hold(attempt, done.stored.data)
            self._keeping.add(attempt, done, done.stored)

    def _log_failure(self, attempt: Attempt, traceback: str) -> None:
        # Now and then: a million items that fail alike must not fill the disk; each outcome has the error's message.
        now = asyncio.get_running_loop().time()
        if now - self._logged_failure_at >= _LOG_FAILURES_S:
            self._logged_failure_at = now
            log.error("an operation failed", **_names(attempt), traceback=traceback)

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        if error.code in (ItemErrorCode.TIMEOUT, ItemErrorCode.WORKER_CRASHED):
            log.warning("an item took its worker down", **_names(attempt), why=error.message)
        self._finish(attempt, attempt.failure(error, run_s))

    def kept(self, attempt: Attempt, done: Done, stored: StoredObject) -> None:
        self._finish(attempt, attempt.result(done, stored))

    def progressed(self) -> None:
        self._turn()


def _names(attempt: Attempt) -> dict[str, object]:
    dispatch = attempt.dispatch
    return {
        "batch_id": dispatch.batch_id,
        "item_index": dispatch.item.item_index,
        "operation": attempt.operation,
        "attempt": dispatch.attempt,
    }
