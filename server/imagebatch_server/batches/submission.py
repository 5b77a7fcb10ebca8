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
    LimitExceeded,
    RequestError,
    StoreUnavailable,
    UnknownOperation,
    Violation,
)
from imagebatch_server.batches.intake import Intake, NewItem
from imagebatch_server.batches.janitor import Janitor
from imagebatch_server.batches.model import Batch, BatchOptions, Item
from imagebatch_server.batches.ports import BatchStore, NewBatch, OperationDirectory
from imagebatch_server.batches.running import FIRST_READ
from imagebatch_server.batches.scheduler import Scheduler

log = structlog.get_logger(__name__)

ITEMS_A_STAGE = 1_000
"""Items of one transaction while a stream is taken in."""


class Submission:
    """Takes batches in. Once a submit has answered, the batch is durable and runs."""

    def __init__(
        self,
        batches: BatchStore,
        intake: Intake,
        operations: OperationDirectory,
        scheduler: Scheduler,
        janitor: Janitor,
        *,
        max_items_per_submit: int,
        max_items_per_batch: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._batches = batches
        self._intake = intake
        self._operations = operations
        self._scheduler = scheduler
        self._janitor = janitor
        self._max_items_per_submit = max_items_per_submit
        self._max_items_per_batch = max_items_per_batch
        self._now = now
        self.draining = False
        """Set when the server stops: nothing more is taken in."""

    async def submit(
        self, tenant: str, options: BatchOptions, new_items: Sequence[NewItem], *, content_sha256: str
    ) -> Batch:
        """Store a batch and begin to run it; a repeated request_id answers the batch that it made.

        Raises InvalidRequest (all violations of meaning at once), LimitExceeded, RequestIdReused, StoreUnavailable,
        Draining.
        """
        batch = self._begin(tenant, options, content_sha256)
        if len(new_items) > self._max_items_per_submit:
            raise _too_many("max_items_per_submit", len(new_items), self._max_items_per_submit)
        images, violations = self._intake.check(new_items, start_index=0)
        self._check_operation(options, violations)
        if images and (existing := await self._batches.find_request(batch)) is not None:
            return self._known(existing)  # before its images are stored a second time
        items, objects = await self._intake.store(batch, new_items, images, start_index=0)
        try:
            created, stored = await self._batches.create(batch, items, objects)
        except StoreUnavailable:
            raise  # the batch may have been committed, so its images must stay; the sweeper takes them if it was not
        except RequestError:
            await self._intake.discard(objects)
            raise
        if created.batch_id != batch.batch_id:
            await self._intake.discard(objects)
            return self._known(created)
        # A canary is not to be the first items.
        return self._run(created, () if options.canary else stored[:FIRST_READ])

    async def submit_stream(
        self, tenant: str, options: BatchOptions, chunks: AsyncIterator[Sequence[NewItem]], *, content_sha256: str
    ) -> Batch:
        """Store a batch of any size that arrives in chunks. Nothing is visible before the last one.

        If `request_id` made a batch already, it is answered without reading a chunk; of two streams at a time, the
        first to end makes the batch. Raises what `submit` does; a stream that raises leaves nothing.
        """
        batch = self._begin(tenant, options, content_sha256)
        self._check_operation(options, [])
        existing = await self._batches.find_request(batch)
        if existing is not None:
            return self._known(existing)
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
            return self._known(published)
        return self._run(published, ())

    async def _stage(self, batch: NewBatch, chunks: AsyncIterator[Sequence[NewItem]]) -> int:
        total_items = 0
        async with _Behind() as writing:
            async for chunk in chunks:
                if total_items + len(chunk) > self._max_items_per_batch:
                    raise _too_many("max_items_per_batch", total_items + len(chunk), self._max_items_per_batch)
                for start in range(0, len(chunk), ITEMS_A_STAGE):
                    part = chunk[start : start + ITEMS_A_STAGE]
                    await self._stage_part(batch, part, writing, start_index=total_items)
                    total_items += len(part)
        if not total_items:
            raise InvalidRequest([Violation("items", "is empty; a batch has at least one item")])
        return total_items

    async def _stage_part(
        self, batch: NewBatch, part: Sequence[NewItem], writing: _Behind, *, start_index: int
    ) -> None:
        images, violations = self._intake.check(part, start_index=start_index)
        own_ids = [new_item.item_id for new_item in part if new_item.item_id is not None]
        await writing.done()
        if own_ids and start_index:
            known = await self._batches.known_item_ids(batch.tenant, batch.batch_id, own_ids)
            violations += self._intake.repeated(part, known, start_index=start_index)
        if violations:
            raise InvalidRequest(violations)
        items, objects = await self._intake.store(batch, part, images, start_index=start_index)
        writing.begin(self._batches.stage_items(batch, items, objects))

    def _begin(self, tenant: str, options: BatchOptions, content_sha256: str) -> NewBatch:
        if self.draining:
            raise Draining
        return NewBatch(tenant, str(uuid_utils.uuid7()), options, self._now(), content_sha256)

    def _check_operation(self, options: BatchOptions, item_violations: list[Violation]) -> None:
        known = self._operations.names()
        if options.operation not in known:
            unknown = UnknownOperation(options.operation, known)
            raise InvalidRequest([*unknown.violations, *item_violations]) if item_violations else unknown
        parameter_violations = self._operations.violations(options.operation, options.parameters)
        if parameter_violations and not item_violations:
            raise InvalidParameters(options.operation, parameter_violations)
        if parameter_violations or item_violations:
            raise InvalidRequest([*parameter_violations, *item_violations])

    def _known(self, batch: Batch) -> Batch:
        self._scheduler.adopt(batch)
        return batch

    def _run(self, batch: Batch, at_hand: Sequence[Item]) -> Batch:
        log.info(
            "batch submitted",
            batch_id=batch.batch_id,
            operation=batch.options.operation,
            items=batch.total_items,
        )
        self._scheduler.add(batch, at_hand)
        return batch


class _Behind:
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


def _too_many(limit: str, count: int, most: int) -> LimitExceeded:
    setting = f"IMAGEBATCH_{limit.upper()}"
    return LimitExceeded(
        limit,
        f"{count} items are more than {most}, {_WHAT[limit]}, or raise {setting}",
        value=count,
        setting=setting,
        field="items",
    )


_WHAT = {
    "max_items_per_submit": "the most that one SubmitBatch takes; use SubmitBatchStream, split the batch",
    "max_items_per_batch": "the most that a batch may have; split the batch",
}
