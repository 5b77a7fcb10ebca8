"""Taking a batch in: checks what only the server can judge, stores the images given in the request, then the batch."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

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
from imagebatch_server.batches.model import Batch, BatchOptions, Item, StoredObject
from imagebatch_server.batches.ports import BatchStore, BlobStore, NewBatch, OperationDirectory
from imagebatch_server.batches.running import FIRST_READ
from imagebatch_server.batches.scheduler import Scheduler

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewItem:
    """One item of a submit; exactly one of `image_url`, `image_base64` (a data URL) and `object_key` is set."""

    item_id: str | None
    image_url: str | None
    image_base64: str | None
    object_key: str | None
    metadata: bytes | None


@dataclass(frozen=True, slots=True)
class _InlineImage:
    """An image that came in the request."""

    item_index: int
    declared_type: str
    data: bytes


class Submission:
    """Takes batches in, all or nothing. Once `submit` has answered, the batch is durable and runs."""

    def __init__(
        self,
        batches: BatchStore,
        blobs: BlobStore,
        operations: OperationDirectory,
        scheduler: Scheduler,
        *,
        max_items: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._batches = batches
        self._blobs = blobs
        self._operations = operations
        self._scheduler = scheduler
        self._max_items = max_items
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
        if self.draining:
            raise Draining
        self._check_size(len(new_items))
        batch = NewBatch(tenant, str(uuid_utils.uuid7()), options, self._now(), content_sha256)
        images = self._check_meaning(options, new_items)
        if images and (existing := await self._batches.find_request(batch)) is not None:
            return existing  # before its images are stored a second time
        stored = await self._store(tenant, images, batch.created_at)
        items = [_item(index, new_item, images, stored) for index, new_item in enumerate(new_items)]
        try:
            created = await self._batches.create(batch, items, [stored[index] for index in sorted(stored)])
        except StoreUnavailable:
            raise  # the batch may have been committed, so its images must stay; the sweeper takes them if it was not
        except RequestError:
            await self._discard(stored)
            raise
        if created.batch_id != batch.batch_id:
            await self._discard(stored)
            return created
        log.info("batch submitted", batch_id=created.batch_id, operation=options.operation, items=len(items))
        self._scheduler.add(created, items[:FIRST_READ])
        return created

    def _check_size(self, count: int) -> None:
        if count > self._max_items:
            raise LimitExceeded(
                "max_items_per_submit",
                f"{count} items are more than {self._max_items}, the most that one SubmitBatch takes; "
                "use SubmitBatchStream, split the batch, or raise IMAGEBATCH_MAX_ITEMS_PER_SUBMIT",
                value=count,
                setting="IMAGEBATCH_MAX_ITEMS_PER_SUBMIT",
                field="items",
            )

    def _check_meaning(self, options: BatchOptions, new_items: Sequence[NewItem]) -> dict[int, _InlineImage]:
        item_violations = _repeated_ids(new_items)
        images: dict[int, _InlineImage] = {}
        for index, new_item in enumerate(new_items):
            if new_item.image_base64 is None:
                continue
            try:
                images[index] = _decoded(index, new_item.image_base64)
            except binascii.Error as error:
                text = f"is not valid base64 ({error}); encode the whole file with the standard alphabet and padding"
                item_violations.append(Violation(f"items[{index}].image_base64", text))
        known = self._operations.names()
        if options.operation not in known:
            unknown = UnknownOperation(options.operation, known)
            if item_violations:
                raise InvalidRequest([*unknown.violations, *item_violations])
            raise unknown
        parameter_violations = self._operations.violations(options.operation, options.parameters)
        if parameter_violations and not item_violations:
            raise InvalidParameters(options.operation, parameter_violations)
        if parameter_violations or item_violations:
            raise InvalidRequest([*parameter_violations, *item_violations])
        return images

    async def _store(
        self, tenant: str, images: dict[int, _InlineImage], created_at: datetime
    ) -> dict[int, StoredObject]:
        stored = {
            index: StoredObject(
                tenant=tenant,
                object_key=self._blobs.new_key(tenant),
                sha256=hashlib.sha256(image.data).hexdigest(),
                size_bytes=len(image.data),
                content_type=image.declared_type,
                file_name="",
                created_at=created_at,
            )
            for index, image in images.items()
        }
        if images:
            await self._blobs.put_many([(stored[index].object_key, image.data) for index, image in images.items()])
        return stored

    async def _discard(self, stored: dict[int, StoredObject]) -> None:
        for one in stored.values():
            await self._blobs.delete(one.object_key)


def _item(index: int, new_item: NewItem, images: dict[int, _InlineImage], stored: dict[int, StoredObject]) -> Item:
    inline = stored.get(index)
    return Item(
        item_index=index,
        item_id=new_item.item_id,
        image_url=new_item.image_url,
        object_key=new_item.object_key if inline is None else inline.object_key,
        size_bytes=None if inline is None else inline.size_bytes,
        sha256=None if inline is None else inline.sha256,
        declared_type=images[index].declared_type if index in images else None,
        metadata=new_item.metadata,
    )


def _repeated_ids(new_items: Sequence[NewItem]) -> list[Violation]:
    violations: list[Violation] = []
    first_with: dict[str, int] = {}
    for index, new_item in enumerate(new_items):
        if new_item.item_id is None:
            continue
        first = first_with.setdefault(new_item.item_id, index)
        if first != index:
            text = f"{new_item.item_id!r} is the item_id of items[{first}] too; give every item its own, or none"
            violations.append(Violation(f"items[{index}].item_id", text))
    return violations


def _decoded(index: int, data_url: str) -> _InlineImage:
    head, _, text = data_url.partition(",")
    declared_type = head.removeprefix("data:").removesuffix(";base64")
    return _InlineImage(index, declared_type, base64.b64decode(text, validate=True))
