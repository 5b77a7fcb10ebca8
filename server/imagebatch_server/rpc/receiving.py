"""Requests that come in one piece, while they come in: how large one is shows only when all of it is here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imagebatch_server.batches.errors import RequestError
from imagebatch_server.rpc.request_memory import RequestMemory
from imagebatch_server.rpc.transfers import Transfer, Transfers

T = TypeVar("T")

COST = 4
"""What comes in takes so many times the size that is allowed: gRPC's buffers and the bytes made of them, of up to twice
that size."""

PLACE_S = 0.25
"""A request that is not here after this time comes slowly, and takes little at a time: it makes room for others."""

WAIT_S = 10.0
"""For a place; most requests need theirs for a millisecond."""


class Receiving:
    """Let a few requests come in at a time, since any may be as large as one may be.

    One that comes slowly counts as a transfer: it makes room for others where those are many, and ends if it idles.
    """

    def __init__(self, memory_bytes: int, max_request_bytes: int, memory: RequestMemory, transfers: Transfers) -> None:
        """`memory_bytes` is what those that come in at one time may take."""
        self._places = asyncio.Semaphore(max(1, memory_bytes // (COST * max_request_bytes)))
        self._memory = memory
        self._transfers = transfers

    async def receive(self, read: Callable[[], Awaitable[T]]) -> T:
        """Wait for what `read` brings. Raises LimitExceeded, Draining."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise self._memory.refusal() from None
        place = _Place(self._places)
        transfer = Transfer()
        late = asyncio.get_running_loop().call_later(PLACE_S, self._go_on_as_transfer, transfer, place)
        try:
            self._memory.ensure_room()
            return await transfer.wait(read())
        finally:
            late.cancel()
            place.leave()
            self._transfers.discard(transfer)

    def _go_on_as_transfer(self, transfer: Transfer, place: _Place) -> None:
        place.leave()
        try:
            self._transfers.add(transfer)
        except RequestError as error:
            transfer.end(error)


class _Place:
    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places: asyncio.Semaphore | None = places

    def leave(self) -> None:
        """Give the place to another request, once."""
        if self._places is not None:
            self._places.release()
            self._places = None
