"""Whatever is recorded, refused, cancelled and taken over in whatever order: the counters are those of the rows."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy.exc import IntegrityError
from tests.integration.ports.values import TENANT, at, commit, failed, made, skipped, success

from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Outcome
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.outcomes import SqlOutcomeStore
from imagebatch_server.store.tables import FAILURE_CODES

T = TypeVar("T")

ITEMS = 6
indexes = st.integers(0, ITEMS - 1)
outcome = st.one_of(
    st.builds(success, indexes),
    st.builds(skipped, indexes),
    st.builds(failed, indexes, st.sampled_from(FAILURE_CODES)),
)
group = st.lists(outcome, max_size=4, unique_by=lambda outcome: outcome.item_index)


class Recording(RuleBasedStateMachine):
    """One batch, beside a model of what its store should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="imagebatch-counters-"))
        self.database = Database(f"sqlite:///{self.folder / 'imagebatch.db'}")
        self.batches = SqlBatchStore(self.database, owner="one", max_running_batches=9)
        self.outcomes = SqlOutcomeStore(self.database, max_read_bytes=10**9)
        self.recorded: list[Outcome] = []
        """In sequence order."""

    @initialize()
    def submit(self) -> None:
        self.run(migrate(self.database))
        self.batch = self.run(made(self.batches, ITEMS))
        self.stale = self.batch

    @rule(group=group, recheck=st.booleans())
    def record(self, group: list[Outcome], recheck: bool) -> None:
        known = {outcome.item_index for outcome in self.recorded}
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
        self.recorded += fresh
        self.batch = answer

    @rule(group=group, recheck=st.booleans())
    def record_with_an_old_epoch(self, group: list[Outcome], recheck: bool) -> None:
        if self.stale.owner_epoch != self.batch.owner_epoch:
            assert self.run(self.outcomes.record([commit(self.stale, group)], at(2), recheck=recheck)) == [None]

    @rule()
    def cancel(self) -> None:
        before = self.batch
        self.batch = self.run(self.batches.request_cancel(TENANT, before.batch_id, at(3)))
        assert lifecycle.is_terminal(before.status) == (self.batch.cancel_requested_at is None) or before == self.batch

    @rule()
    def take_over(self) -> None:
        taken = self.run(self.batches.take_over("another"))
        assert len(taken) == (not lifecycle.is_terminal(self.batch.status))
        self.batch = taken[0] if taken else self.batch

    @invariant()
    def the_store_holds_what_was_recorded(self) -> None:
        key = (TENANT, self.batch.batch_id)
        assert self.run(self.database.read(partial(audit, tenant=key[0], batch_id=key[1]))) == []
        assert self.run(self.batches.get(*key)) == self.batch
        results = self.run(self.outcomes.after(*key, 0, ITEMS))
        assert [result.sequence for result in results] == list(range(1, len(self.recorded) + 1))
        assert [(result.item.item_index, result.status, result.error_code) for result in results] == [
            (outcome.item_index, outcome.status, outcome.error_code) for outcome in self.recorded
        ]
        done = {outcome.item_index for outcome in self.recorded}
        pending = self.run(self.batches.pending_items(*key, -1, ITEMS))
        assert {item.item_index for item in pending} == set(range(ITEMS)) - done

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    def teardown(self) -> None:
        self.database.close()
        shutil.rmtree(self.folder)


Recording.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
TestRecording = Recording.TestCase
