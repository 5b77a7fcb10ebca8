"""Reading stored images: whoever asks is answered, whatever else ends at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from tests.unit.executors.samples import attempt, indexes

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import BlobName
from imagebatch_server.batches.ports.objects import BlobStore
from imagebatch_server.byte_budget import ByteBudget
from imagebatch_server.executors.attempts.attempt import Attempt
from imagebatch_server.executors.supply.stored_images import StoredImages


class NoBlobs:
    """A store that is empty, and says so at once."""

    async def get_many(self, names: Sequence[BlobName], **_: int) -> Sequence[ItemError]:
        return [ItemError(ItemErrorCode.OBJECT_NOT_FOUND, "it is not there") for _name in names]


class AsksOn:
    """Have another image read right after each refusal, as a scheduler does that has more items."""

    def __init__(self, more: list[Attempt]) -> None:
        self.refused: list[Attempt] = []
        self.all_refused = asyncio.Event()
        self._more = more
        self.images = StoredImages(cast(BlobStore, NoBlobs()), 1_000, ByteBudget(1_000), self)

    def ask(self) -> None:
        self.images.add(self._more.pop())
        self.images.resume()

    def arrived(self, attempt: Attempt, data: bytes) -> None:
        raise AssertionError("nobody's image arrives")

    def not_got(self, attempt: Attempt, error: ItemError) -> None:
        assert error.code is ItemErrorCode.OBJECT_NOT_FOUND
        self.refused.append(attempt)
        if self._more:
            asyncio.get_running_loop().call_soon(self.ask)
        else:
            self.all_refused.set()


async def test_what_is_asked_while_readers_end_is_read() -> None:
    asks = AsksOn([attempt(index) for index in range(20)])
    asks.ask()
    asks.ask()
    async with asyncio.timeout(10):
        await asks.all_refused.wait()
    assert sorted(indexes(asks.refused)) == list(range(20))
