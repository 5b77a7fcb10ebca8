"""Images that outcomes carry to a place of the batch's own: written before the attempt is over."""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.ports.objects import BucketImages
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.protocol.messages import Done, StoredImage

log = structlog.get_logger(__name__)

_SUBTYPE = re.compile(r"image/([a-z0-9]{1,16})")


class DeliveryEvents(Protocol):
    """What becomes of attempts whose image is to be delivered."""

    def delivered(self, attempt: Attempt, done: Done) -> None:
        """Note that the bucket has its image."""

    def failed(self, attempt: Attempt, error: ItemError, run_s: float) -> None:
        """Note that it can't be written."""


class DeliveredImages:
    """Write each image by itself: a bucket that is slow or gone holds up nobody else's.

    That is an attempt's failure, and other than our own store it is not waited for: whose bucket it is, may have closed
    it for good.
    """

    def __init__(self, buckets: BucketImages | None, events: DeliveryEvents) -> None:
        self._buckets = buckets
        self._events = events
        self._writes: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether an attempt waits for its image to be written."""
        return bool(self._writes)

    def add(self, attempt: Attempt, done: Done, image: StoredImage) -> None:
        """Deliver an image."""
        write = asyncio.get_running_loop().create_task(self._write(attempt, done, image))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def stop(self) -> None:
        """Write no more; nothing more is reported."""
        for write in self._writes:
            write.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)

    async def _write(self, attempt: Attempt, done: Done, image: StoredImage) -> None:
        dispatch = attempt.dispatch
        try:
            if self._buckets is None:
                text = "output_prefix: this server writes to no bucket any more; retry the item, or submit it without"
                raise ItemError(ItemErrorCode.PROVIDER_ERROR, text)
            subtype = _SUBTYPE.fullmatch(image.content_type)
            name = f"{dispatch.batch_id}/{dispatch.item.item_index}.{subtype[1] if subtype else 'bin'}"
            await self._buckets.write(
                dispatch.tenant, dispatch.output_prefix or "", name, image.data, image.content_type
            )
        except ItemError as error:
            self._events.failed(attempt, error, done.run_s)
        except Exception:
            log.exception("result_images.write_failed")
            text = "the result's image could not be stored; see the server's log"
            self._events.failed(attempt, ItemError(ItemErrorCode.INTERNAL, text), done.run_s)
        else:
            self._events.delivered(attempt, done)
