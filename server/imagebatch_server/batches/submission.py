"""Taking batches in, all or nothing: in one request, or in a stream of any length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any, Self

import structlog
import uuid_utils

from imagebatch_server.batches.errors import (
    Draining,
    InvalidParameters,
    InvalidRequest,
    Limit,
    NotSupported,
    RequestError,
    StoreUnavailable,
    UnknownOperation,
    Violation,
)
from imagebatch_server.batches.handover import Handover
from imagebatch_server.batches.item_admission import ItemAdmission, NewItem
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.model import Batch, BatchOptions, Item
from imagebatch_server.batches.ports.batches import BatchStore, NewBatch
from imagebatch_server.batches.ports.execution import OperationDirectory
from imagebatch_server.batches.ports.notifications import Receivers
from imagebatch_server.batches.ports.objects import BucketImages
from imagebatch_server.batches.ports.servers import News, NewsKind
from imagebatch_server.batches.quotas import QuotasOf
from imagebatch_server.batches.running import FIRST_READ

log = structlog.get_logger(__name__)

ITEMS_A_STAGE = 1_000
"""Items of one transaction while a stream is taken in."""


class Submission:
    """Take batches in. Once a submit has answered, the batch is durable and runs."""

    def __init__(
        self,
        batches: BatchStore,
        admission: ItemAdmission,
        operations: OperationDirectory,
        news: News,
        handover: Handover,
        janitor: Janitor,
        quotas: QuotasOf,
        *,
        max_items_per_submit: int,
        max_items_per_batch: int,
        buckets: BucketImages | None = None,
        receivers: Receivers | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._batches = batches
        self._admission = admission
        self._operations = operations
        self._news = news
        self._handover = handover
        self._janitor = janitor
        self._quotas = quotas
        self._max_items_per_submit = max_items_per_submit
        self._max_items_per_batch = max_items_per_batch
        self._buckets = buckets
        self._receivers = receivers
        self._now = now
        self.draining = False
        """Set when the server stops: nothing more is taken in."""

    async def submit(
        self,
        tenant: str,
        options: BatchOptions,
        new_items: Sequence[NewItem],
        *,
        content_sha256: str,
        traceparent: str | None = None,
    ) -> Batch:
        """Store a batch and begin to run it; a repeated request_id answers the batch that it made.

        Raises InvalidRequest (all violations of meaning at once), LimitExceeded, RequestIdReused, TenantDeleted,
        StoreUnavailable, Draining.
        """
        batch = self._begin(tenant, options, content_sha256, traceparent)
        _refuse_too_many("max_items_per_batch", len(new_items), self._max_items_per_batch)
        _refuse_too_many("max_items_per_submit", len(new_items), self._max_items_per_submit)
        images, violations = self._admission.check(new_items, start_index=0)
        self._check_operation(options, [*self._destination_violations(tenant, options), *violations])
        if images and (existing := await self._batches.find_request(batch)) is not None:
            return self._answer_again(existing)  # before its images are stored a second time
        items, objects = await self._admission.store(batch, new_items, images, start_index=0)
        try:
            created, stored = await self._batches.create(batch, items, objects)
        except StoreUnavailable:
            raise  # the batch may have been committed, so its images must stay; the sweeper takes them if it was not
        except RequestError:
            await self._admission.discard(objects)
            raise
        if created.batch_id != batch.batch_id:
            await self._admission.discard(objects)
            return self._answer_again(created)
        # A canary is not to be the first items.
        return self._run(created, () if options.canary else stored[:FIRST_READ])

    async def submit_stream(
        self,
        tenant: str,
        options: BatchOptions,
        chunks: AsyncIterator[Sequence[NewItem]],
        *,
        content_sha256: str,
        traceparent: str | None = None,
    ) -> Batch:
        """Store a batch of any size that arrives in chunks. Nothing is visible before the last one.

        If `request_id` made a batch already, it is answered without reading a chunk; of two streams at a time, the
        first to end makes the batch. Raises what `submit` does; a stream that raises leaves nothing.
        """
        batch = self._begin(tenant, options, content_sha256, traceparent)
        self._check_operation(options, self._destination_violations(tenant, options))
        existing = await self._batches.find_request(batch)
        if existing is not None:
            return self._answer_again(existing)
        try:
            await self._batches.stage(batch)
            total_items = await self._stage(batch, chunks)
            if self.draining:
                raise Draining
            published = await self._batches.publish(batch, total_items)
        except BaseException:
            await asyncio.shield(self._janitor.discard(tenant, batch.batch_id))
            raise
        if published.batch_id != batch.batch_id:
            await self._janitor.discard(tenant, batch.batch_id)
            return self._answer_again(published)
        return self._run(published, ())

    async def _stage(self, batch: NewBatch, chunks: AsyncIterator[Sequence[NewItem]]) -> int:
        total_items = 0
        async with _WriteBehind() as writing:
            async for chunk in chunks:
                _refuse_too_many("max_items_per_batch", total_items + len(chunk), self._max_items_per_batch)
                self._quotas(batch.tenant).check_waiting(0, total_items + len(chunk))
                for start in range(0, len(chunk), ITEMS_A_STAGE):
                    part = chunk[start : start + ITEMS_A_STAGE]
                    await self._stage_part(batch, part, writing, start_index=total_items)
                    total_items += len(part)
        if not total_items:
            raise InvalidRequest([Violation("items", "is empty; a batch has at least one item")])
        return total_items

    async def _stage_part(
        self, batch: NewBatch, part: Sequence[NewItem], writing: _WriteBehind, *, start_index: int
    ) -> None:
        images, violations = self._admission.check(part, start_index=start_index)
        own_ids = [new_item.item_id for new_item in part if new_item.item_id is not None]
        await writing.done()
        if own_ids and start_index:
            known = await self._batches.known_item_ids(batch.tenant, batch.batch_id, own_ids)
            violations += self._admission.repeated(part, known, start_index=start_index)
        if violations:
            raise InvalidRequest(violations)
        items, objects = await self._admission.store(batch, part, images, start_index=start_index)
        writing.begin(self._batches.stage_items(batch, items, objects))

    def _begin(self, tenant: str, options: BatchOptions, content_sha256: str, traceparent: str | None) -> NewBatch:
        if self.draining:
            raise Draining
        return NewBatch(tenant, str(uuid_utils.uuid7()), options, self._now(), content_sha256, traceparent)

    def _destination_violations(self, tenant: str, options: BatchOptions) -> list[Violation]:
        """Look at where its images are to go, and who is to be told of its end."""
        problems: dict[str, str | None] = {}
        if options.output_prefix is not None:
            if self._buckets is None:
                raise NotSupported("output_prefix", "its images stay in its own store: leave output_prefix out")
            problems["options.output_prefix"] = self._buckets.write_problem(tenant, options.output_prefix)
        if options.notify_url is not None:
            if self._receivers is None:
                raise NotSupported("notify_url", "watch the batch, or ask for its status: leave notify_url out")
            problems["options.notify_url"] = self._receivers.problem(tenant, options.notify_url)
        return [Violation(field, problem) for field, problem in problems.items() if problem is not None]

    def _check_operation(self, options: BatchOptions, item_violations: list[Violation]) -> None:
        try:
            parameter_violations = self._operations.violations(options.operation, options.parameters)
        except UnknownOperation as unknown:
            if item_violations:
                raise InvalidRequest([*unknown.violations, *item_violations]) from unknown
            raise
        if parameter_violations and not item_violations:
            raise InvalidParameters(options.operation, parameter_violations)
        if parameter_violations or item_violations:
            raise InvalidRequest([*parameter_violations, *item_violations])

    def _answer_again(self, batch: Batch) -> Batch:
        self._publish(batch)  # it may never have been told: the store's answer to the first submit may have been lost
        return batch

    def _run(self, batch: Batch, at_hand: Sequence[Item]) -> Batch:
        log.info(
            "batch.submitted",
            batch_id=batch.batch_id,
            operation=batch.options.operation,
            items=batch.total_items,
        )
        self._handover.put(batch, at_hand)
        self._publish(batch)
        return batch

    def _publish(self, batch: Batch) -> None:
        self._news.publish(NewsKind.SUBMITTED, batch.tenant, batch.batch_id)


class _WriteBehind:
    """One piece of work at a time that goes on behind its caller: a part is written while the next one comes in.

    The block ends when the work has ended, also if it raises: images that are stored already must get their rows.
    """

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a piece of work, once the last one is `done`."""
        self._work = asyncio.create_task(work)

    async def done(self) -> None:
        """Wait for the work that was begun, and raise what it raised."""
        if self._work is not None:
            await self._work

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            await self.done()
        elif self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)


def _refuse_too_many(limit: str, count: int, most: int) -> None:
    if count <= most:
        return
    setting = f"IMAGEBATCH_{limit.upper()}"
    text = f"{count} items are more than {most}, {_WHAT[limit]}, or raise {setting}"
    raise InvalidRequest([Violation("items", text, Limit(limit, most, count, setting))])


_WHAT = {
    "max_items_per_submit": "the most that one SubmitBatch takes; use SubmitBatchStream, split the batch",
    "max_items_per_batch": "the most that a batch may have; split the batch",
}
