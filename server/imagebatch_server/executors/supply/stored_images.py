"""Images of the blob store: many are read in one call, for a call costs more than a file."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import cast

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError, StoreUnavailable
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import BlobReader
from imagebatch_server.byte_budget import ByteBudget
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.supply.events import SupplyEvents

log = structlog.get_logger(__name__)

_READERS = 2
_READ_ITEMS = 64
_READ_BYTES = 16 * 1024 * 1024
_RETRY_S = 0.5


class StoredImages:
    """Read images while there is space for them, in the order they were asked for."""

    def __init__(self, blobs: BlobReader, max_image_bytes: int, budget: ByteBudget, events: SupplyEvents) -> None:
        self._blobs = blobs
        self._budget = budget
        self._max_image_bytes = max_image_bytes
        self._events = events
        self._waiting: deque[Attempt] = deque()
        self._readers: set[asyncio.Task[None]] = set()

    def add(self, attempt: Attempt) -> None:
        """Let an attempt wait for its image; it holds no bytes while it waits."""
        self._waiting.append(attempt)

    def resume(self) -> None:
        """Read on, if there is space."""
        if self._waiting and len(self._readers) < _READERS and self._budget.free_bytes > 0:
            reader = asyncio.get_running_loop().create_task(self._read_on())
            self._readers.add(reader)

    async def stop(self) -> None:
        """Read no more; nothing more is reported."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    async def _read_on(self) -> None:
        try:
            await self._read()
        finally:
            # Not in a callback: what is added before that runs would find both readers taken, and wait for ever.
            self._readers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    async def _read(self) -> None:
        while self._budget.free_bytes > 0 and (group := self._next_group()):
            try:
                async with asyncio.timeout(group[0].dispatch.timeout_s):
                    await self._read_group(group)
            except TimeoutError:
                self._refuse(
                    group, ItemErrorCode.TIMEOUT, "the stored image could not be read in time; try again later"
                )
            except StoreUnavailable as error:
                log.warning("stored_images.store_unavailable", why=str(error))
                self._waiting.extendleft(reversed(group))
                await asyncio.sleep(_RETRY_S)
            except Exception:
                log.exception("stored_images.read_failed")
                self._refuse(group, ItemErrorCode.INTERNAL, "the stored image could not be read; see the server's log")

    def _next_group(self) -> list[Attempt]:
        group: list[Attempt] = []
        while self._waiting and len(group) < _READ_ITEMS:
            attempt = self._waiting[0]
            if group and attempt.dispatch.timeout_s != group[0].dispatch.timeout_s:
                break
            self._waiting.popleft()
            if not attempt.forgotten:
                group.append(attempt)
        return group

    async def _read_group(self, group: Sequence[Attempt]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        names = [
            BlobName(attempt.dispatch.tenant, attempt.dispatch.item.object_key or "")  # as callers name them
            for attempt in group
        ]
        most_bytes = min(self._budget.free_bytes, _READ_BYTES)
        self._budget.take(most_bytes)
        try:
            found = await self._blobs.get_many(names, max_bytes=self._max_image_bytes, max_total_bytes=most_bytes)
        finally:
            self._budget.give_back(most_bytes)
        each_s = (loop.time() - began) / len(found)
        self._waiting.extendleft(reversed(group[len(found) :]))
        for attempt, image in zip(group, found, strict=False):
            attempt.fetch_s = each_s
            if isinstance(image, ItemError):
                self._events.not_got(attempt, image)
            else:
                self._events.arrived(attempt, image)

    def _refuse(self, group: Sequence[Attempt], code: ItemErrorCode, message: str) -> None:
        for attempt in group:
            attempt.fetch_s = attempt.dispatch.timeout_s if code is ItemErrorCode.TIMEOUT else 0.0
            self._events.not_got(attempt, ItemError(code, message))
