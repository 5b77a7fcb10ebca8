"""Recorded, refused, cancelled, taken over, retried, in whatever order: the counters are those of the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import NOON, TENANT, at, commit, failed, made, skipped, success
from tests.unit.batches.samples import allowing

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.errors import BatchNotRetryable
from imagebatch_server.batches.model import Outcome, RetryRequest
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tables import FAILURE_CODES

T = TypeVar("T")

ITEMS = 4
RETRIED = {*FAILURE_CODES, ItemErrorCode.FAILURE_LIMIT}
indexes = st.integers(0, ITEMS - 1)
outcome = st.one_of(
    st.builds(success, indexes),
    st.builds(skipped, indexes, st.sampled_from([ItemErrorCode.CANCELLED, ItemErrorCode.FAILURE_LIMIT])),
    st.builds(failed, indexes, st.sampled_from(FAILURE_CODES)),
)
group = st.lists(outcome, max_size=ITEMS, unique_by=lambda outcome: outcome.item_index)
whole = st.lists(outcome, min_size=ITEMS, max_size=ITEMS, unique_by=lambda outcome: outcome.item_index)


class Recording:
    """One batch, beside a model of what its store should hold."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.batches = SqlBatchStore(self.database, owner="one", quotas=allowing(9))
        self.others = SqlBatchStore(self.database, owner="two", quotas=allowing(9))
        self.outcomes = SqlOutcomeStore(self.database, max_read_bytes=10**9)
        self.recorded: dict[int, Outcome] = {}
        """By sequence, ascending."""
        self.batch = self.run(made(self.batches, ITEMS))
        self.stale = self.batch

    def record(self, group: list[Outcome], recheck: bool) -> None:
        known = self.known_indexes()
        fresh = [outcome for outcome in group if outcome.item_index not in known]
        try:
            (answer,) = self.run(self.outcomes.record([commit(self.batch, group)], at(1), recheck=recheck))
        except IntegrityError:
            assert len(fresh) < len(group)
            assert not recheck
            return
        if lifecycle.is_terminal(self.batch.status):
            assert answer == (self.batch if recheck and group else None)
            return
        assert answer is not None
        assert recheck or fresh == group
        first = answer.last_sequence - len(fresh) + 1
        assert first == self.batch.last_sequence + 1
        self.recorded.update(enumerate(fresh, start=first))
        self.batch = answer

    def record_what_is_left(self, whole: list[Outcome]) -> None:
        known = self.known_indexes()
        self.record([outcome for outcome in whole if outcome.item_index not in known], recheck=False)

    def record_with_an_old_epoch(self, group: list[Outcome], recheck: bool) -> None:
        if self.stale.owner_epoch != self.batch.owner_epoch:
            assert self.run(self.outcomes.record([commit(self.stale, group)], at(2), recheck=recheck)) == [None]

    def cancel(self) -> None:
        before = self.batch
        self.batch = self.run(self.batches.request_cancel(TENANT, before.batch_id, at(3)))
        assert lifecycle.is_terminal(before.status) == (self.batch.cancel_requested_at is None) or before == self.batch

    def take_over(self) -> None:
        taker = self.others if self.batch.owner == "one" else self.batches
        taken = self.run(taker.take_over(["describe"]))
        assert len(taken) == (not lifecycle.is_terminal(self.batch.status))
        self.batch = taken[0] if taken else self.batch

    def retry(self, codes: list[ItemErrorCode]) -> None:
        lost = {
            sequence
            for sequence, outcome in self.recorded.items()
            if outcome.error_code in (codes or RETRIED) and outcome.error_code in RETRIED
        }
        try:
            answer, reopened = self.run(self.batches.retry(TENANT, self.batch.batch_id, RetryRequest(codes), NOON))
        except BatchNotRetryable:
            assert self.batch.status is BatchStatus.CANCELLED
            return
        assert reopened == (lifecycle.is_terminal(self.batch.status) and bool(lost))
        if reopened:
            assert answer.owner_epoch == self.batch.owner_epoch + 1
            self.recorded = {key: value for key, value in self.recorded.items() if key not in lost}
        self.batch = answer

    def the_store_holds_what_was_recorded(self) -> None:
        key = (TENANT, self.batch.batch_id)
        assert self.run(self.database.read(partial(audit, tenant=key[0], batch_id=key[1]))) == []
        assert self.run(self.batches.get(*key)) == self.batch
        results = self.run(self.outcomes.after(*key, 0, ITEMS))
        assert [(result.sequence, result.outcome) for result in results] == list(self.recorded.items())
        pending = self.run(self.batches.pending_items(*key, -1, ITEMS))
        assert {item.item_index for item in pending} == set(range(ITEMS)) - self.known_indexes()

    def known_indexes(self) -> set[int]:
        return {outcome.item_index for outcome in self.recorded.values()}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)


codes = st.lists(st.sampled_from([*FAILURE_CODES, ItemErrorCode.FAILURE_LIMIT]), max_size=6)
action = st.one_of(
    st.tuples(st.just(Recording.record), group, st.booleans()),
    st.tuples(st.just(Recording.record_what_is_left), whole),
    st.tuples(st.just(Recording.record_what_is_left), whole),
    st.tuples(st.just(Recording.record_with_an_old_epoch), group, st.booleans()),
    st.tuples(st.just(Recording.retry), codes),
    st.tuples(st.just(Recording.retry), st.just([])),
    st.tuples(st.just(Recording.cancel)),
    st.tuples(st.just(Recording.take_over)),
)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Make the file of an empty database."""
    file = tmp_path_factory.mktemp("store") / "imagebatch.db"
    database = Database(f"sqlite:///{file}")
    asyncio.run(migrate(database))
    database.close()
    return file.read_bytes()


@given(actions=st.lists(action, max_size=16))
@settings(max_examples=60, deadline=None)
def test_the_counters_are_those_of_the_rows(
    migrated: bytes, tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[Any, ...]]
) -> None:
    file = tmp_path_factory.mktemp("example") / "imagebatch.db"
    file.write_bytes(migrated)
    database = Database(f"sqlite:///{file}")
    recording = Recording(database)
    for act, *arguments in actions:
        act(recording, *arguments)
        recording.the_store_holds_what_was_recorded()
    database.close()
