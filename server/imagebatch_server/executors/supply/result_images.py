"""Images that outcomes carry, made by operations, and previews: in the blob store before the attempt is over."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
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
_NO_PREVIEWS_S = 30.0
"""After one could not be written, for a store that is away lets each try wait."""
PREVIEW_TYPE = "image/jpeg"


class ResultImageEvents(Protocol):
    """What becomes of attempts whose images are to be kept."""

    def kept(self, attempt: Attempt, done: Done) -> None:
        """Note that what its operation made is durable, in `attempt.stored`, and perhaps its preview."""

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        """Note that what its operation made can't be written."""


class ResultImages:
    """Write images; what arrives during one write goes together into the next.

    A store that is away is waited for with what operations made. Previews are tried once: no outcome fails for want of
    one, or waits for long.
    """

    def __init__(self, blobs: BlobStore, events: ResultImageEvents) -> None:
        self._blobs = blobs
        self._events = events
        self._waiting: deque[tuple[Attempt, Done, StoredImage | None]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._previews_from = float("-inf")

    @property
    def is_busy(self) -> bool:
        """Whether an attempt waits for its images to be written."""
        return self._writer is not None

    def add(self, attempt: Attempt, done: Done, made: StoredImage | None) -> None:
        """Keep the image that the operation made, if any, and the preview, if any."""
        self._waiting.append((attempt, done, made))
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

    async def _write_several(self, several: Sequence[tuple[Attempt, Done, StoredImage | None]]) -> None:
        try:
            made = [self._made(attempt, image) for attempt, _, image in several if image is not None]
            previews = [
                self._preview(attempt, done.preview) for attempt, done, _ in several if done.preview is not None
            ]
            if not await self._put_with_previews(made, previews):
                for attempt, _, _ in several:
                    attempt.preview = None
                if made:
                    await self._put_patiently(made)
        except Exception:
            log.exception("result_images.write_failed")
            error = ItemError(ItemErrorCode.INTERNAL, "the result's image could not be stored; see the server's log")
            for attempt, done, image in several:
                attempt.stored = attempt.preview = None
                if image is None:
                    self._events.kept(attempt, done)
                else:
                    self._events.failed(attempt, error, done.run_s)
            return
        for attempt, done, _ in several:
            self._events.kept(attempt, done)

    def _made(self, attempt: Attempt, image: StoredImage) -> NewBlob:
        attempt.stored = self._row(attempt, len(image.data), image.sha256, image.content_type)
        return NewBlob(attempt.stored.object_key, image.data, image.content_type)

    def _preview(self, attempt: Attempt, jpeg: bytes) -> NewBlob:
        attempt.preview = self._row(attempt, len(jpeg), hashlib.sha256(jpeg).hexdigest(), PREVIEW_TYPE)
        return NewBlob(attempt.preview.object_key, jpeg, PREVIEW_TYPE)

    def _row(self, attempt: Attempt, size_bytes: int, sha256: str, content_type: str) -> StoredObject:
        tenant = attempt.dispatch.tenant
        return StoredObject(
            tenant=tenant,
            object_key=self._blobs.new_key(tenant),
            sha256=sha256,
            size_bytes=size_bytes,
            content_type=content_type,
            file_name="",
            created_at=datetime.now(UTC),
        )

    async def _put_with_previews(self, made: Sequence[NewBlob], previews: Sequence[NewBlob]) -> bool:
        """Write all, if there are previews and they may be tried; answers whether that is done."""
        now = asyncio.get_running_loop().time()
        if not previews or now < self._previews_from:
            return False
        try:
            await self._blobs.put_many([*made, *previews])
        except Exception as error:  # whatever it is: the outcomes can do without
            self._previews_from = now + _NO_PREVIEWS_S
            log.warning("result_images.previews_left_out", why=str(error), again_in_s=_NO_PREVIEWS_S)
            return False
        return True

    async def _put_patiently(self, blobs: Sequence[NewBlob]) -> None:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            try:
                await self._blobs.put_many(blobs)
                return
            except StoreUnavailable as error:
                pause_s = backoff.next_s()
                log.warning("result_images.store_unavailable", why=str(error), again_in_s=pause_s)
            await asyncio.sleep(pause_s)
