"""The core on a real store, with an executor that a test answers for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils
from tests.unit.batches.samples import options

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.control import Batches
from imagebatch_server.batches.hosts import HostSlots
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, Item
from imagebatch_server.batches.ports import DispatchEvents, NewBatch, OutcomeStore
from imagebatch_server.batches.recorder import Recorder
from imagebatch_server.batches.ring import Update
from imagebatch_server.batches.scheduler import Scheduler
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.images.objects import LocalBlobStore
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.objects import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore

OWNER = "test"
Answer = Callable[[Dispatch], AttemptResult | None]


def succeed(dispatch: Dispatch) -> AttemptResult:
    """The item succeeds."""
    return AttemptResult(dispatch, processing_time_ms=1, output_data=b"")


def fail(dispatch: Dispatch, code: ItemErrorCode, *, transient: bool) -> AttemptResult:
    """The item fails."""
    return AttemptResult(
        dispatch, processing_time_ms=1, error_code=code, error_message="on purpose", transient=transient
    )


class AnsweredExecutor:
    """Answers each attempt by a function of the test; None leaves it in flight until `finish`."""

    def __init__(self, answer: Answer, room: int = 8) -> None:
        self.answer = answer
        self.events: DispatchEvents | None = None
        self.in_flight: dict[tuple[str, int], Dispatch] = {}
        self.most_in_flight = 0
        self.dispatched: list[Dispatch] = []
        self._room = room
        self._submitted = asyncio.Event()

    def submit(self, dispatch: Dispatch) -> None:
        self.dispatched.append(dispatch)
        self.in_flight[_key(dispatch)] = dispatch
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        self._submitted.set()
        asyncio.get_running_loop().call_soon(self._run, dispatch)

    def forget(self, dispatch: Dispatch) -> None:
        if self.in_flight.get(_key(dispatch)) is dispatch:
            del self.in_flight[_key(dispatch)]
            self._fetched(dispatch)

    def lane(self, operation: str, parameters: bytes | None) -> str:
        return ""

    def room(self, lane: str) -> int:
        return self._room - sum(dispatch.item.image_url is None for dispatch in self.in_flight.values())

    async def holds(self, count: int) -> None:
        """Wait until so many attempts are in flight."""
        while len(self.in_flight) < count:
            self._submitted.clear()
            await self._submitted.wait()

    def room_to_fetch(self, lane: str) -> int:
        return 64

    def finish(self, result: AttemptResult) -> None:
        """End an attempt that was left in flight."""
        assert self.events is not None
        self.in_flight.pop(_key(result.dispatch), None)
        self._fetched(result.dispatch)
        self.events.finished(result)

    def start(self, dispatch: Dispatch) -> None:
        """Say that a worker began."""
        assert self.events is not None
        self.events.started(dispatch)

    def _run(self, dispatch: Dispatch) -> None:
        if self.in_flight.get(_key(dispatch)) is dispatch:
            result = self.answer(dispatch)
            if result is not None:
                self.start(dispatch)
                self.finish(result)

    def _fetched(self, dispatch: Dispatch) -> None:
        if self.events is not None and dispatch.item.image_url is not None:
            self.events.fetched(dispatch)


def _key(dispatch: Dispatch) -> tuple[str, int]:
    return dispatch.batch_id, dispatch.item.item_index


class Core:
    """Scheduler, recorder and watchers on one SQLite file."""

    def __init__(self, database: Database, folder: Path, answer: Answer, outcomes: OutcomeStore, *, room: int) -> None:
        self.batch_store = SqlBatchStore(database, owner=OWNER, max_running_batches=100)
        self.outcomes = outcomes
        self.executor = AnsweredExecutor(answer, room)
        self.recorder = Recorder(self.outcomes)
        self.scheduler = Scheduler(
            self.batch_store,
            self.recorder,
            self.executor,
            HostSlots(overall=16, per_host=2),
            backoff_s=lambda _attempt: 0.0,
        )
        self.executor.events = self.scheduler
        self.watchers = Watchers(
            self.batch_store,
            self.outcomes,
            lambda result: f"{result.item.item_index}:{result.status}".encode(),
            lambda results, batch, sequence: b"",
            max_update_bytes=100_000,
        )
        self.recorder.listen(self.watchers)
        self.recorder.listen(self.scheduler)
        self.blobs = LocalBlobStore(folder / "objects")
        self.objects = SqlObjectRows(database)
        self.janitor = Janitor(
            self.batch_store, self.objects, self.blobs, self.watchers, retention=None, every_s=3_600.0
        )
        self.batches = Batches(self.batch_store, self.outcomes, self.scheduler, self.watchers, self.janitor)

    async def submit(self, items: Sequence[Item], *, at_hand: int = 0, **changes: object) -> Batch:
        """Store a batch and run it, with its first `at_hand` items handed over."""
        batch = await self.store(items, **changes)
        self.scheduler.add(batch, items[:at_hand])
        return batch

    async def store(self, items: Sequence[Item], **changes: object) -> Batch:
        """Store a batch and do no more."""
        new = NewBatch("default", str(uuid_utils.uuid7()), options(**changes), datetime.now(UTC), "0" * 64)
        batch, _ = await self.batch_store.create(new, items, [])
        return batch

    async def resume(self) -> None:
        """What a starting server does."""
        for batch in await self.batch_store.take_over(OWNER):
            self.scheduler.add(batch)

    async def ended(self, batch: Batch) -> Batch:
        """Wait for the batch's terminal status."""
        async for update in self.watchers.watch("default", batch.batch_id, 0, ()):
            if update.batch is not None and lifecycle.is_terminal(update.batch.status):
                return update.batch
        raise AssertionError("the watch ended without a terminal status")

    async def processed(self, batch: Batch, count: int) -> None:
        """Wait until so many items have an outcome."""
        async for update in self.watchers.watch("default", batch.batch_id, 0, ()):
            if update.sequence >= count:
                return

    async def seen(
        self, batch: Batch, after_sequence: int = 0, statuses: Sequence[BatchItemStatus] = ()
    ) -> list[Update]:
        """Watch to the end."""
        return [update async for update in self.watchers.watch("default", batch.batch_id, after_sequence, statuses)]


@asynccontextmanager
async def core(
    folder: Path,
    answer: Answer = succeed,
    wrap: Callable[[OutcomeStore], OutcomeStore] = lambda store: store,
    *,
    room: int = 8,
) -> AsyncIterator[Core]:
    """A core that runs while the block does; its file stays for the next one."""
    database = Database(f"sqlite:///{folder / 'core.db'}")
    await migrate(database)
    made = Core(database, folder, answer, wrap(SqlOutcomeStore(database, max_read_bytes=1_000_000)), room=room)
    recording = asyncio.create_task(made.recorder.run())
    try:
        yield made
    finally:
        recording.cancel()
        await asyncio.gather(recording, return_exceptions=True)
        await made.scheduler.close()
        made.blobs.close()
        database.close()
