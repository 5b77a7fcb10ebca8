"""Images that outcomes carry: in the blob store before the attempt is over."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.backoff import Backoff
from imagebatch_server.batches.errors import ItemError, StoreUnavailable
from imagebatch_server.batches.model import StoredObject
from imagebatch_server.batches.ports.objects import BlobStore, NewBlob
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.protocol.messages import Done, StoredImage

log = structlog.get_logger(__name__)

_MOST_AT_ONCE = 64
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0


class ResultImageEvents(Protocol):
    """What becomes of attempts whose image is to be kept."""

    def kept(self, attempt: Attempt, done: Done, stored: StoredObject | None) -> None:
        """Its image is durable; with a row, if it is in the service's own store."""

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        """Note that it can't be written."""


class ResultImages:
    """Write images; what arrives during one write goes together into the next. A store that is away is waited for."""

    def __init__(self, blobs: BlobStore, events: ResultImageEvents) -> None:
        self._blobs = blobs
        self._events = events
        self._waiting: deque[tuple[Attempt, Done, StoredImage]] = deque()
        self._writer: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an attempt waits for its image to be written."""
        return self._writer is not None

    def add(self, attempt: Attempt, done: Done, image: StoredImage) -> None:
        """Keep an image."""
        self._waiting.append((attempt, done, image))
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(self._write())

    async def stop(self) -> None:
        """Write no more; nothing more is reported."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while self._waiting:
                several = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
                await self._write_several([entry for entry in several if not entry[0].forgotten])
        finally:
            self._writer = None

    async def _write_several(self, several: list[tuple[Attempt, Done, StoredImage]]) -> None:
        try:
            keys = [self._blobs.new_key(attempt.dispatch.tenant) for attempt, _, _ in several]
            await self._put_patiently(
                [NewBlob(key, image.data, image.content_type) for key, (_, _, image) in zip(keys, several, strict=True)]
            )
        except Exception:
            log.exception("result_images.write_failed")
            error = ItemError(ItemErrorCode.INTERNAL, "the result's image could not be stored; see the server's log")
            for attempt, done, _ in several:
                self._events.failed(attempt, error, done.run_s)
            return
        for key, (attempt, done, image) in zip(keys, several, strict=True):
            stored = StoredObject(
                tenant=attempt.dispatch.tenant,
                object_key=key,
                sha256=image.sha256,
                size_bytes=len(image.data),
                content_type=image.content_type,
                file_name="",
                created_at=datetime.now(UTC),
            )
            self._events.kept(attempt, done, stored)

    async def _put_patiently(self, blobs: list[NewBlob]) -> None:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                await self._blobs.put_many(blobs)
                return
            except StoreUnavailable as error:
                pause_s = backoff.next_s()
                log.warning("result_images.store_unavailable", why=str(error), again_in_s=pause_s)
            await asyncio.sleep(pause_s)
