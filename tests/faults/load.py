"""Work for a server that is being killed: several batches at a time, each watched from its start to its end."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import grpc
from grpc import aio
from tests.faults.batches import LABEL, Maker, Submitted
from tests.faults.calls import (
    CALL_TIMEOUT_S,
    PASSING,
    RECONNECT,
    REPEAT_S,
    pages,
    patiently,
    watch_by_client,
    watch_by_stub,
)
from tests.faults.checker import defects, submission_defects
from tests.faults.stores import Store

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub

CANCELLED = 0.25
PAUSED = 0.3
RETRIED = 0.7
ASKED_AGAIN = 0.3
DELETED = 0.25
LEFT = 0.1
"""How often each happens to a batch. `LEFT`: the caller gives up on the submit after a moment, and never asks again."""

SUBMITS_AT_ONCE = 8
KINDS = ("quick", "slow", "repeating", "mixed", "mixed")
"""Of the batches that are watched, each as often as it stands here."""


class Load:
    """Keep `at_once` batches running until it is told to finish, and judge each when it has ended."""

    def __init__(
        self,
        address: str,
        maker: Maker,
        chance: random.Random,
        at_once: int,
        watched_at: Sequence[str] = (),
        kinds: Sequence[str] = KINDS,
    ) -> None:
        """`address` may name several servers, called in turn; each batch is watched at each of `watched_at`."""
        self.batches: list[Submitted] = []
        self.defects: list[str] = []
        self.outcomes_seen = 0
        self.repeats = 0
        """Submits that were not answered and made again."""
        self.pauses = 0
        self._watched_at = watched_at or (address,)
        self.maker = maker
        self._chance = chance
        self._at_once = at_once
        self._kinds = kinds
        self._finishing = False
        self._seen_more = asyncio.Event()
        self._seen_at: list[float] = []
        self._channel = aio.insecure_channel(address, (*RECONNECT, ("grpc.lb_policy_name", "round_robin")))
        self.stub = BatchServiceStub(self._channel)

    async def run(self) -> None:
        """Submit, watch, cancel, pause and retry. Ends, after `finish`, with the last batch."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_submitting(tasks))
            for _ in range(self._at_once):
                tasks.create_task(self._keep_one_running())

    def finish(self) -> None:
        """Submit nothing more."""
        self._finishing = True

    async def close(self) -> None:
        await self._channel.close()

    async def seen_more(self, outcomes: int) -> None:
        """Wait until watchers have seen so many outcomes more."""
        wanted = self.outcomes_seen + outcomes
        while self.outcomes_seen < wanted:
            self._seen_more.clear()
            await self._seen_more.wait()

    def longest_pause_s(self, since: float) -> float:
        """For how long no watcher saw anything, at the most, from a monotonic moment to the last outcome."""
        return max(later - earlier for earlier, later in pairwise([since, *(at for at in self._seen_at if at > since)]))

    async def judge(self, store: Store) -> Counter[str]:
        """Hold everything against the store when all has ended; answers how items ended."""
        listed = await self._listed()
        deleted = {batch_id for batch in self.batches if batch.deleted for batch_id in batch.answers}
        answers = {batch.request_id: batch.answers for batch in self.batches}
        self.defects += submission_defects(answers, listed, deleted)
        by_request = {batch.request_id: batch for batch in self.batches}
        for batch_id, request_id in listed.items():  # which waits for their ends
            by_request[request_id].watches.append(
                await watch_by_stub(self._watched_at[0], batch_id, lambda _: None, self._chance)
            )
        rows = await asyncio.to_thread(store.read, list(listed))
        ends: Counter[str] = Counter()
        for batch_id, request_id in listed.items():
            batch = by_request[request_id]
            status = await self.status(batch_id)
            shown = await pages(self.stub, batch_id)
            findings, stored = rows[batch_id]
            self.defects += defects(batch.evidence(status, shown, stored, findings))
            ends.update(row.kind for row in stored)
        self.defects += await asyncio.to_thread(store.leftovers)
        self.defects += await asyncio.to_thread(store.blob_defects)
        return ends

    async def _keep_submitting(self, tasks: asyncio.TaskGroup) -> None:
        """Submit small batches all the time, so that kills meet submits."""
        room = asyncio.Semaphore(SUBMITS_AT_ONCE)
        while not self._finishing:
            await room.acquire()
            batch = self.maker.make("tiny")
            self.batches.append(batch)
            leaves = self._chance.random() < LEFT
            submit = tasks.create_task(self._submit_and_leave(batch) if leaves else self.submit(batch))
            submit.add_done_callback(lambda _: room.release())
            await asyncio.sleep(self._chance.uniform(0, 0.5))

    async def _keep_one_running(self) -> None:
        while not self._finishing:
            batch = self.maker.make(self._chance.choice(self._kinds))
            self.batches.append(batch)
            await self._live(batch)

    async def _live(self, batch: Submitted) -> None:
        batch_id = await self.submit(batch)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.watch(batch, batch_id))
            if self._chance.random() < CANCELLED:
                tasks.create_task(self._cancel(batch, batch_id))
            if self._chance.random() < PAUSED:
                tasks.create_task(self._pause_and_resume(batch_id))
            if self._chance.random() < ASKED_AGAIN:
                await self.submit(batch)
        status = await self._judge_by_pages(batch, batch_id)
        is_retryable = status.status in {types_pb2.BATCH_STATUS_FAILED, types_pb2.BATCH_STATUS_PARTIALLY_COMPLETED}
        if is_retryable and self._chance.random() < RETRIED:
            await self.retry(batch, batch_id)
            await self.watch(batch, batch_id)
            await self._judge_by_pages(batch, batch_id)
        if self._chance.random() < DELETED:
            await self._delete(batch, batch_id)

    async def _delete(self, batch: Submitted, batch_id: str) -> None:
        request = batch_service_pb2.DeleteBatchRequest(batch_id=batch_id)
        try:
            await patiently(lambda: self.stub.DeleteBatch(request, timeout=CALL_TIMEOUT_S))
        except aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:  # deleted, and the answer was lost
                raise
        batch.deleted = True

    async def submit(self, batch: Submitted) -> str:
        """Submit until it is answered. A batch that was not made here must be in `batches`, to be judged."""
        while True:
            try:
                answer = await self._call_submit(batch, CALL_TIMEOUT_S)
            except aio.AioRpcError as error:
                if error.code() not in PASSING:
                    raise
                self.repeats += 1
                await asyncio.sleep(REPEAT_S)
                continue
            batch.answers.append(answer.batch_id)
            return answer.batch_id

    async def _call_submit(self, batch: Submitted, timeout_s: float) -> types_pb2.BatchSubmissionResult:
        if batch.by_stream:
            return await self.stub.SubmitBatchStream(batch.stream(), timeout=timeout_s)
        return await self.stub.SubmitBatch(batch.request, timeout=timeout_s)

    async def _submit_and_leave(self, batch: Submitted) -> None:
        """Give up after a moment, and never ask again: the batch may be there or not, but nothing in between."""
        try:
            answer = await self._call_submit(batch, self._chance.uniform(0.01, 0.5))
        except aio.AioRpcError as error:
            if error.code() not in PASSING:
                raise
        else:
            batch.answers.append(answer.batch_id)

    async def retry(self, batch: Submitted, batch_id: str) -> None:
        """Ask for a retry until it is answered; what watchers saw before is judged by itself, and forgotten."""
        request = batch_service_pb2.RetryBatchRequest(batch_id=batch_id)
        await patiently(lambda: self.stub.RetryBatch(request, timeout=CALL_TIMEOUT_S))
        batch.retries += 1
        batch.watches.clear()

    async def watch(self, batch: Submitted, batch_id: str) -> None:
        """Watch in two ways, to the end."""
        watches = [
            watch
            for address in self._watched_at
            for watch in (
                watch_by_client(address, batch_id, self._saw),
                watch_by_stub(address, batch_id, self._saw, self._chance),
            )
        ]
        batch.watches += await asyncio.gather(*watches)

    def _saw(self, outcomes: int) -> None:
        self.outcomes_seen += outcomes
        self._seen_at.append(time.monotonic())
        self._seen_more.set()

    async def _cancel(self, batch: Submitted, batch_id: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, 2))
        request = batch_service_pb2.CancelBatchRequest(batch_id=batch_id)
        for _ in range(self._chance.randint(1, 2)):
            status = await patiently(lambda: self.stub.CancelBatch(request, timeout=CALL_TIMEOUT_S))
            batch.cancelled = batch.cancelled or status.HasField("cancel_requested_at")

    async def _pause_and_resume(self, batch_id: str) -> None:
        """Let the batch pause for a moment, a few times, as long as it runs."""
        pause = batch_service_pb2.PauseBatchRequest(batch_id=batch_id)
        resume = batch_service_pb2.ResumeBatchRequest(batch_id=batch_id)
        try:
            for _ in range(self._chance.randint(1, 3)):
                await asyncio.sleep(self._chance.uniform(0, 0.5))
                await patiently(lambda: self.stub.PauseBatch(pause, timeout=CALL_TIMEOUT_S))
                await asyncio.sleep(self._chance.uniform(0, 0.5))
                await patiently(lambda: self.stub.ResumeBatch(resume, timeout=CALL_TIMEOUT_S))
                self.pauses += 1
        except aio.AioRpcError as error:
            # It has ended, or was deleted then.
            if error.code() not in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND):
                raise

    async def _judge_by_pages(self, batch: Submitted, batch_id: str) -> types_pb2.BatchStatusResult:
        """Tell what can be told while the work goes on: rows are looked at when it has ended."""
        status = await self.status(batch_id)
        shown = await pages(self.stub, batch_id)
        self.defects += defects(batch.evidence(status, shown, shown))
        return status

    async def status(self, batch_id: str) -> types_pb2.BatchStatusResult:
        """Ask for the status until it is answered."""
        request = batch_service_pb2.GetBatchStatusRequest(batch_id=batch_id)
        return await patiently(lambda: self.stub.GetBatchStatus(request, timeout=CALL_TIMEOUT_S))

    async def _listed(self) -> dict[str, str]:
        """List the request_id of each batch there is."""
        listed: dict[str, str] = {}
        token = ""
        while True:
            request = batch_service_pb2.ListBatchesRequest(page_size=100, page_token=token)
            page = await patiently(partial(self.stub.ListBatches, request, timeout=CALL_TIMEOUT_S))
            listed |= {batch.batch_id: batch.labels[LABEL] for batch in page.batches}
            if not (token := page.next_page_token):
                return listed
