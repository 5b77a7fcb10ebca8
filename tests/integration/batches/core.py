"""The core on a real store, with an executor that a test answers for."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uuid_utils
from tests.unit.batches.samples import ALL, allowing, options

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.audience import Audience
from imagebatch_server.batches.claim import Claim
from imagebatch_server.batches.control import Batches
from imagebatch_server.batches.handover import Handover
from imagebatch_server.batches.hosts import Hosts
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.loops import Loop, running
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, Item, Outcome
from imagebatch_server.batches.news import LocalNews
from imagebatch_server.batches.only_server import OnlyServer
from imagebatch_server.batches.ownership import Ownership
from imagebatch_server.batches.ports.batches import NewBatch, OutcomeStore
from imagebatch_server.batches.ports.execution import DispatchEvents
from imagebatch_server.batches.ports.servers import News
from imagebatch_server.batches.recorder import Recorder
from imagebatch_server.batches.ring import Update
from imagebatch_server.batches.scheduler import Scheduler
from imagebatch_server.batches.sweeper import Sweeper
from imagebatch_server.batches.watcher import Watchers
from imagebatch_server.objects.local import LocalBlobStore
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.news import SharedNews
from imagebatch_server.store.notifications import SqlNotifications
from imagebatch_server.store.object_rows import SqlObjectRows
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tenants import SqlTenantStore

Answer = Callable[[Dispatch], AttemptResult | None]


def succeed(dispatch: Dispatch) -> AttemptResult:
    """Let the item succeed."""
    outcome = Outcome(
        dispatch.item.item_index,
        BatchItemStatus.SUCCESS,
        output_data=b"",
        processing_time_ms=1,
        attempts=dispatch.attempt,
    )
    return AttemptResult(dispatch, outcome)


def fail(dispatch: Dispatch, code: ItemErrorCode, *, transient: bool) -> AttemptResult:
    """Let the item fail."""
    outcome = Outcome(
        dispatch.item.item_index,
        BatchItemStatus.FAILED,
        code,
        "on purpose",
        processing_time_ms=1,
        attempts=dispatch.attempt,
    )
    return AttemptResult(dispatch, outcome, transient=transient)


class AnsweredExecutor:
    """Answer each attempt by a function of the test; None leaves it in flight until `finish`."""

    def __init__(self, answer: Answer, room: int = 8) -> None:
        self.answer = answer
        self.events: DispatchEvents | None = None
        self.in_flight: dict[tuple[str, int], Dispatch] = {}
        self.begun: set[tuple[str, int]] = set()
        """What workers have; only a test that calls `begin` by itself has any that stays."""
        self.most_in_flight = 0
        self.dispatched: list[Dispatch] = []
        self._room = room
        self._changed = asyncio.Event()

    alive = 1
    restarts = 0
    trouble = None

    async def start(self, events: DispatchEvents) -> None:
        self.events = events

    async def stop(self, grace_s: float) -> None:
        self.in_flight.clear()

    def submit(self, dispatch: Dispatch) -> None:
        self.dispatched.append(dispatch)
        self.in_flight[_key(dispatch)] = dispatch
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        self._changed.set()
        asyncio.get_running_loop().call_soon(self._run, dispatch)

    def forget(self, dispatch: Dispatch) -> None:
        if self.in_flight.get(_key(dispatch)) is dispatch:
            del self.in_flight[_key(dispatch)]
            self._changed.set()
            self._fetched(dispatch)

    def withdraw(self, dispatch: Dispatch) -> bool:
        if _key(dispatch) in self.begun:
            return False
        self.forget(dispatch)
        return True

    def lane(self, operation: str, parameters: bytes | None) -> str:
        return ""

    def room(self, lane: str) -> int:
        return self._room - sum(dispatch.item.image_url is None for dispatch in self.in_flight.values())

    def first_turn_ms(self, lane: str) -> float:
        return math.inf

    def last_turn_ms(self, lane: str) -> float:
        return -math.inf

    async def holds(self, count: int) -> None:
        """Wait until at least so many attempts are in flight."""
        await self._until(lambda: len(self.in_flight) >= count)

    async def let_go(self, but: int = 0) -> None:
        """Wait until no more than so many attempts are in flight, because the others are forgotten."""
        await self._until(lambda: len(self.in_flight) <= but)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def room_to_fetch(self, lane: str) -> int:
        return 64

    def finish(self, result: AttemptResult) -> None:
        """End an attempt that was left in flight."""
        assert self.events is not None
        self.in_flight.pop(_key(result.dispatch), None)
        self.begun.discard(_key(result.dispatch))
        self._changed.set()
        self._fetched(result.dispatch)
        if result.dispatch.item.image_url is not None and result.outcome.error_code is None:
            self.events.answered(result.dispatch)
        self.events.finished(result)

    def begin(self, dispatch: Dispatch) -> None:
        """Say that a worker began."""
        assert self.events is not None
        self.begun.add(_key(dispatch))
        self.events.started(dispatch)

    def _run(self, dispatch: Dispatch) -> None:
        if self.in_flight.get(_key(dispatch)) is dispatch:
            result = self.answer(dispatch)
            if result is not None:
                self.begin(dispatch)
                self.finish(result)

    def _fetched(self, dispatch: Dispatch) -> None:
        if self.events is not None and dispatch.item.image_url is not None:
            self.events.fetched(dispatch)


def _key(dispatch: Dispatch) -> tuple[str, int]:
    return dispatch.batch_id, dispatch.item.item_index


class Core:
    """Scheduler, recorder and watchers on one SQLite file."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        outcomes: OutcomeStore,
        *,
        executor: AnsweredExecutor,
        max_running_batches: int,
        hosts: Hosts | None = None,
        is_shared: bool = False,
    ) -> None:
        self.claim = Claim(owner=str(uuid_utils.uuid7()), operations=["noop", "paced", "quick", "slow"])
        self.batch_store = SqlBatchStore(database, owner=self.claim.owner, quotas=allowing(max_running_batches))
        self.another_store = SqlBatchStore(database, owner="another", quotas=allowing(max_running_batches))
        self.tenant_store = SqlTenantStore(database)
        self.outcomes = outcomes
        self.executor = executor
        self.weights: dict[str, float] = {}
        self.servers = OnlyServer(self.claim)
        self.recorder = Recorder(self.outcomes, self.servers)
        self.shared_news = SharedNews(LocalNews(), database, self.claim.owner, lambda: True) if is_shared else None
        self.news: News = self.shared_news or LocalNews()
        self.handover = Handover()
        self.watchers = Watchers(
            self.batch_store,
            self.outcomes,
            self.news,
            self.handover,
            lambda _tenant, result: f"{result.item.item_index}:{result.status}".encode(),
            lambda results, batch, sequence: b"",
            owner=self.claim.owner,
            max_update_bytes=100_000,
        )
        self.scheduler = Scheduler(
            self.batch_store,
            self.recorder,
            self.executor,
            hosts or Hosts(overall=16, per_host=2, share=ALL),
            self.news,
            self.handover,
            self.claim,
            self.servers,
            weight=lambda tenant: self.weights.get(tenant, 1.0),
            backoff_s=lambda _attempt: 0.0,
        )
        self.executor.events = self.scheduler
        self.recorder.listen(self.watchers)
        self.recorder.listen(self.scheduler)
        self.recorder.listen(Audience(self.news))
        self.blobs = LocalBlobStore(folder / "objects")
        self.objects = SqlObjectRows(database, quotas=allowing(1_000))
        self.sweeper = Sweeper(self.objects, self.blobs, quarantine=timedelta(days=30), max_share=0.2)
        self.janitor = Janitor(
            self.batch_store, self.tenant_store, self.sweeper, self.news, retention=None, every_s=3_600.0
        )
        self.notifications = SqlNotifications(database)
        self.batches = Batches(
            self.batch_store, self.outcomes, self.news, self.scheduler.processing, self.notifications
        )

    async def submit(
        self, items: Sequence[Item], *, tenant: str = "default", at_hand: int = 0, **changes: object
    ) -> Batch:
        """Store a batch and run it, with its first `at_hand` items handed over."""
        batch = await self.store(items, tenant=tenant, **changes)
        self.scheduler.reconcile(batch, items[:at_hand])
        return batch

    async def store(self, items: Sequence[Item], *, tenant: str = "default", **changes: object) -> Batch:
        """Store a batch and do no more."""
        new = NewBatch(tenant, str(uuid_utils.uuid7()), options(**changes), datetime.now(UTC), "0" * 64)
        batch, _ = await self.batch_store.create(new, items, [])
        return batch

    async def resume(self) -> None:
        """Do what a starting server does."""
        await Ownership(self.batch_store, self.scheduler, self.claim, self.servers, self.news).look()

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
    url: str | None = None,
    hosts: Hosts | None = None,
    executor: AnsweredExecutor | None = None,
    max_running_batches: int = 100,
    is_shared: bool = False,
) -> AsyncIterator[Core]:
    """Run a core; its database, a file unless there is a URL, stays for the next one.

    `is_shared`: another one runs at the same time, on PostgreSQL.
    """
    folder.mkdir(exist_ok=True)
    database = Database(url or f"sqlite:///{folder / 'core.db'}")
    await migrate(database)
    outcomes = wrap(SqlOutcomeStore(database, max_read_bytes=1_000_000))
    chosen = executor or AnsweredExecutor(answer, room)
    made = Core(
        database,
        folder,
        outcomes,
        executor=chosen,
        max_running_batches=max_running_batches,
        hosts=hosts,
        is_shared=is_shared,
    )
    loops: list[Loop] = [made.recorder]
    if made.shared_news is not None:
        loops += [made.shared_news.listening, made.shared_news]
    try:
        async with AsyncExitStack() as stack:
            for loop in loops:
                await stack.enter_async_context(running(loop))
            yield made
    finally:
        await made.scheduler.close()
        await made.watchers.close()
        await made.blobs.close()
        database.close()
