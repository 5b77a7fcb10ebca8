"""Watches: every outcome once, in order, from any point, and the terminal status last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.integration.batches.core import core, fail, succeed
from tests.unit.batches.samples import item

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode
from imagebatch_server.batches import cursor, lifecycle
from imagebatch_server.batches.cursor import QUIET_S
from imagebatch_server.batches.errors import BatchNotFound, Draining, SequenceOutOfRange
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, ItemResult, Outcome
from imagebatch_server.batches.ports.batches import BatchCommit, OutcomeStore
from imagebatch_server.batches.ring import Update
from imagebatch_server.batches.watcher import STORE_ROWS, UNWATCHED_RINGS

UNKNOWN = "0195d2f0-0000-7000-8000-000000000009"


def assert_well_ordered(updates: list[Update], after_sequence: int, last_sequence: int) -> None:
    covered = [update.sequence for update in updates]
    assert covered == sorted(covered)
    assert covered[-1] == last_sequence
    assert all(sequence >= after_sequence for sequence in covered)
    terminal = [
        position
        for position, update in enumerate(updates)
        if update.batch is not None and lifecycle.is_terminal(update.batch.status)
    ]
    assert terminal == [len(updates) - 1]


async def test_a_live_watch_and_a_replay_say_the_same(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        batch = await made.submit([item(index) for index in range(1_200)])
        live = await made.seen(batch)
        replay = await made.seen(batch)
        assert_well_ordered(live, 0, 1_200)
        assert_well_ordered(replay, 0, 1_200)
        lived = [result for update in live for result in update.results]
        assert len(lived) == len(set(lived)) == 1_200
        assert lived == [result for update in replay for result in update.results]


async def test_it_resumes_exactly_after_what_the_caller_has(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        batch = await made.submit([item(index) for index in range(50)])
        whole = [result for update in await made.seen(batch) for result in update.results]
        for after_sequence in range(51):
            updates = await made.seen(batch, after_sequence)
            assert_well_ordered(updates, after_sequence, 50)
            assert [result for update in updates for result in update.results] == whole[after_sequence:]
        with pytest.raises(SequenceOutOfRange, match="51 is above 50"):
            await made.seen(batch, 51)


async def test_a_filter_leaves_out_but_covers(tmp_path: Path) -> None:
    def answer(dispatch: Dispatch) -> AttemptResult:
        odd = dispatch.item.item_index % 2
        return fail(dispatch, ItemErrorCode.DECODE_FAILED, transient=False) if odd else succeed(dispatch)

    async with core(tmp_path, answer) as made:
        batch = await made.submit([item(index) for index in range(20)])
        updates = await made.seen(batch, 0, [BatchItemStatus.FAILED])
        assert_well_ordered(updates, 0, 20)
        results = [result for update in updates for result in update.results]
        assert results == [f"{index}:failed".encode() for index in range(1, 20, 2)]


async def test_the_first_message_comes_before_any_outcome(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(0)])
        updates = made.watchers.watch("default", batch.batch_id, 0, ())
        first = await anext(updates)
        assert first.results == ()
        assert first.batch is not None
        assert first.batch.status in (BatchStatus.PENDING, BatchStatus.PROCESSING)
        await updates.aclose()


async def test_a_watcher_that_stopped_reading_catches_up_from_the_store(tmp_path: Path) -> None:
    async with core(tmp_path) as made:
        batch = await made.submit([item(index) for index in range(6_000)])
        updates = made.watchers.watch("default", batch.batch_id, 0, ())
        first = await anext(updates)
        await made.ended(batch)  # meanwhile more was recorded than the ring holds
        seen = [*first.results]
        async for update in updates:
            seen += update.results
        assert len(seen) == len(set(seen)) == 6_000


async def test_unknown_batches_and_stopping_servers_end_a_watch(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        with pytest.raises(BatchNotFound):
            await anext(made.watchers.watch("default", UNKNOWN, 0, ()))
        batch = await made.submit([item(0)])
        updates = made.watchers.watch("default", batch.batch_id, 0, ())
        await anext(updates)
        made.watchers.drain()
        with pytest.raises(Draining):
            await anext(updates)


class CountingStore:
    """Count the reads of watchers that are behind."""

    def __init__(self, store: OutcomeStore) -> None:
        self.reads = 0
        self._store = store
        self.record = store.record
        self.page = store.page
        self.news = store.news

    async def after(self, tenant: str, batch_id: str, sequence: int, limit: int) -> Sequence[ItemResult]:
        self.reads += 1
        return await self._store.after(tenant, batch_id, sequence, limit)


class Told:
    """Hear the end of every batch."""

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Event] = {}

    def committed(self, batch: Batch, _outcomes: Sequence[Outcome], _results: Sequence[ItemResult] | None) -> None:
        if lifecycle.is_terminal(batch.status):
            self._of(batch.batch_id).set()

    def lost(self, batch_id: str, owner_epoch: int) -> None: ...

    async def ended(self, batch: Batch) -> None:
        await self._of(batch.batch_id).wait()

    def _of(self, batch_id: str) -> asyncio.Event:
        return self._ended.setdefault(batch_id, asyncio.Event())


async def test_who_comes_after_the_first_outcomes_needs_no_store(tmp_path: Path) -> None:
    async with core(tmp_path, wrap=CountingStore) as made:
        assert isinstance(made.outcomes, CountingStore)
        told = Told()
        made.recorder.listen(told)
        batches = []
        for _ in range(UNWATCHED_RINGS + 1):
            batches.append(await made.submit([item(index) for index in range(30)]))
            await told.ended(batches[-1])
        for batch in batches[1:]:
            assert_well_ordered(await made.seen(batch), 0, 30)
        assert made.outcomes.reads == 0
        assert_well_ordered(await made.seen(batches[0]), 0, 30)  # only so many are kept
        assert made.outcomes.reads == 1


async def test_a_commit_during_the_opening_is_not_missed(tmp_path: Path) -> None:
    async with core(tmp_path, lambda _: None) as made:
        told = Told()
        made.recorder.listen(told)
        batch = await made.submit([item(0)])
        await made.executor.holds(1)
        get = made.batch_store.get

        async def get_and_commit(tenant: str, batch_id: str) -> Batch:
            found = await get(tenant, batch_id)
            for dispatch in list(made.executor.in_flight.values()):
                made.executor.begin(dispatch)
                made.executor.finish(succeed(dispatch))
                await told.ended(batch)
                made.watchers._found(batch_id, None)  # forget the ring that the commit began
            return found

        made.batch_store.get = get_and_commit  # type: ignore[method-assign]
        async with asyncio.timeout(QUIET_S):
            assert_well_ordered(await made.seen(batch), 0, 1)


async def test_a_quiet_watch_tells_the_status_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursor, "QUIET_S", 0.02)
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(0)])
        updates = made.watchers.watch("default", batch.batch_id, 0, ())
        assert (await anext(updates)).batch is not None
        await made.batch_store.request_cancel("default", batch.batch_id, datetime.now(UTC))  # told to nobody here
        while (known := (await anext(updates)).batch) is None or known.cancel_requested_at is None:
            pass
        assert (await anext(updates)).results == ()
        await updates.aclose()


async def test_a_watched_batch_is_unknown_to_other_tenants(tmp_path: Path) -> None:
    async with core(tmp_path, answer=lambda _: None) as made:
        batch = await made.submit([item(0)])
        updates = made.watchers.watch("default", batch.batch_id, 0, ())
        await anext(updates)
        with pytest.raises(BatchNotFound):
            await anext(made.watchers.watch("another", batch.batch_id, 0, ()))
        await updates.aclose()


async def test_watchers_that_are_behind_read_the_store_together(tmp_path: Path) -> None:
    async with core(tmp_path, wrap=CountingStore) as made:
        batch = await made.submit([item(index) for index in range(3_000)])
        await made.ended(batch)
        assert isinstance(made.outcomes, CountingStore)
        made.outcomes.reads = 0
        watches = await asyncio.gather(*[made.seen(batch) for _ in range(50)])
        for updates in watches:
            results = [result for update in updates for result in update.results]
            assert len(results) == len(set(results)) == 3_000
        assert made.outcomes.reads <= 2 * 3_000 / STORE_ROWS


async def test_one_that_reads_everything_has_it_read_ahead_and_once(tmp_path: Path) -> None:
    async with core(tmp_path, wrap=CountingStore) as made:
        batch = await made.submit([item(index) for index in range(3 * STORE_ROWS)])
        await made.ended(batch)
        assert isinstance(made.outcomes, CountingStore)
        made.outcomes.reads = 0
        updates = made.watchers.watch("default", batch.batch_id, 0, ())
        await anext(updates)
        for _ in range(5):
            await asyncio.sleep(0)  # before it asks
        assert made.outcomes.reads == 2
        async for _ in updates:
            await asyncio.sleep(0)
        assert made.outcomes.reads == 3


class AheadStore:
    """Read for watchers, after `before_read` has been done once."""

    def __init__(self, store: OutcomeStore) -> None:
        self.before_read: Callable[[], Awaitable[object]] | None = None
        self._store = store
        self.record = store.record
        self.page = store.page
        self.news = store.news

    async def after(self, tenant: str, batch_id: str, sequence: int, limit: int) -> Sequence[ItemResult]:
        if self.before_read is not None:
            before, self.before_read = self.before_read, None
            await before()
        return await self._store.after(tenant, batch_id, sequence, limit)


async def test_what_was_read_before_its_news_came_is_not_sent_again(tmp_path: Path) -> None:
    async with core(tmp_path, lambda _: None, wrap=AheadStore) as made:
        batch = await made.submit([item(index) for index in range(3)])
        recorded: list[Batch] = []

        async def record(index: int) -> None:
            """As the recorder does, but without telling."""
            at = datetime.now(UTC)
            outcome = Outcome(index, BatchItemStatus.SUCCESS)
            commit = BatchCommit(batch.tenant, batch.batch_id, batch.owner_epoch, [outcome], at, None)
            (known,) = await made.outcomes.record([commit], at, recheck=False)
            assert known is not None
            recorded.append(known)

        def tell() -> None:
            made.watchers.committed(recorded[-1], [Outcome(0, BatchItemStatus.SUCCESS)], None)

        await record(0)
        assert isinstance(made.outcomes, AheadStore)
        made.outcomes.before_read = lambda: record(1)
        updates = made.watchers.watch(batch.tenant, batch.batch_id, 0, ())
        first = await anext(updates)
        assert (first.sequence, first.results) == (2, [b"0:success", b"1:success"])
        following = asyncio.ensure_future(anext(updates))
        for _ in range(5):
            await asyncio.sleep(0)  # it has nothing to say yet
        tell()
        await record(2)
        tell()
        second = await following
        assert (second.sequence, second.results) == (3, [b"2:success"])
        assert second.is_last
        await updates.aclose()
