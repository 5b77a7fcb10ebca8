"""Images from wherever a URL leads: to a host, or into a bucket."""

from __future__ import annotations

import asyncio

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.ports.objects import BucketImages
from imagebatch_server.executors.supply.fetch_session import FetchedFile, FetchRequest
from imagebatch_server.executors.supply.fetched_images import Fetcher

_SLOW_S = 0.5
"""As of a host."""


class AnyFetcher:
    """Have hosts' files fetched by one that guards, and buckets' read."""

    def __init__(self, web: Fetcher, buckets: BucketImages) -> None:
        self._web = web
        self._buckets = buckets

    async def fetch(self, request: FetchRequest) -> FetchedFile:
        """Get one file. Raises ItemError, with TIMEOUT when the time is over; and MadeWay."""
        if request.url[:4].lower() == "http":
            return await self._web.fetch(request)
        loop = asyncio.get_running_loop()
        began = loop.time()
        slow = loop.call_later(_SLOW_S, request.on_slow)
        try:
            async with asyncio.timeout(request.timeout_s):
                data, content_type = await self._buckets.read(request.tenant, request.url, request.admit)
        except TimeoutError as error:
            raise ItemError(
                ItemErrorCode.TIMEOUT, "the bucket did not send the image in time; try again later"
            ) from error
        finally:
            slow.cancel()
        return FetchedFile(data, content_type, loop.time() - began)
