"""Uploads, downloads and streamed submits: how many at one time, and for how long a caller may keep one waiting.

Each holds something of the server's for as long as its caller likes: a file, staged rows, a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TypeVar

from imagebatch_server.batches.errors import Draining, Limit, LimitExceeded
from imagebatch_server.rpc.endable import Endable
from imagebatch_server.rpc.slots import Slots

T = TypeVar("T")

PROGRESS_BYTES = 16 * 1024
"""What must move for a transfer to count as busy: a caller that sends a byte a second makes no progress."""

SPARED_S = 1.0
"""A transfer that has waited less for its caller is not ended to make room for another one."""

_LOOKS = 8
"""How often within the longest idle time transfers are looked at."""


class Transfer(Endable):
    """One transfer. It idles while the server waits for the caller, until PROGRESS_BYTES have moved."""

    def __init__(self) -> None:
        super().__init__()
        self._moved_bytes = 0
        self._waited_s = 0.0
        self._waiting_since: float | None = None

    @property
    def idle_s(self) -> float:
        """How long the caller has kept the server waiting since the last progress."""
        now = 0.0 if self._waiting_since is None else monotonic() - self._waiting_since
        return self._waited_s + now

    async def receive(self, messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Pass a caller's messages on. Raises what the transfer is ended with."""
        while (message := await self.wait(anext(messages, None))) is not None:
            self._moved(len(message))
            yield message

    async def send(self, write: Awaitable[None]) -> None:
        """Wait until the caller has taken a message. Raises what the transfer is ended with."""
        await self.wait(write)
        self._moved(PROGRESS_BYTES)  # chunks are larger than that

    async def wait(self, for_caller: Awaitable[T]) -> T:
        """Wait for the caller. Raises what the transfer is ended with."""
        async with self.until_ended():
            with self._waiting():
                return await for_caller

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._waiting_since = monotonic()
        try:
            yield
        finally:
            self._waited_s = self.idle_s
            self._waiting_since = None

    def _moved(self, size_bytes: int) -> None:
        self._moved_bytes += size_bytes
        if self._moved_bytes >= PROGRESS_BYTES:
            self._moved_bytes, self._waited_s = 0, 0.0


class Transfers:
    """All transfers under way. One that idles for `max_idle_s` is ended; where all places are taken, the idlest is."""

    def __init__(self, slots: Slots, *, max_idle_s: float, on_ended: Callable[[str], None]) -> None:
        self._slots = slots
        self._max_idle_s = max_idle_s
        self._on_ended = on_ended
        self._under_way: set[Transfer] = set()
        self._draining = False
        self._look: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._under_way)

    @contextmanager
    def begin(self) -> Iterator[Transfer]:
        """Count a transfer while the block runs. Raises LimitExceeded, Draining."""
        transfer = Transfer()
        self.add(transfer)
        try:
            yield transfer
        finally:
            self.discard(transfer)

    def add(self, transfer: Transfer) -> None:
        """Count a transfer from now on. Raises LimitExceeded, Draining."""
        if self._draining:
            raise Draining
        if len(self._under_way) >= self._slots.most:
            self._make_room()
        self._under_way.add(transfer)
        if self._look is None:
            self._look_later()

    def discard(self, transfer: Transfer) -> None:
        """Count a transfer no more, if it was counted."""
        self._under_way.discard(transfer)

    def drain(self) -> None:
        """End all of them, and let none begin: the server stops."""
        self._draining = True
        for transfer in self._under_way:
            transfer.end(Draining())

    def _make_room(self) -> None:
        idlest = max(self._under_way, key=lambda transfer: transfer.idle_s)
        if idlest.idle_s < SPARED_S:
            raise self._slots.refusal()
        self._end(idlest)

    def _end(self, transfer: Transfer) -> None:
        self._under_way.discard(transfer)
        self._on_ended("max_transfer_idle_ms")
        limit = Limit(
            "max_transfer_idle_ms",
            value=round(self._max_idle_s * 1000),
            observed=round(transfer.idle_s * 1000),
            setting="IMAGEBATCH_MAX_TRANSFER_IDLE_S",
        )
        text = (
            f"the server has waited {transfer.idle_s:.0f} s for {PROGRESS_BYTES} bytes more, or for the rest of a "
            f"request that comes in one piece, and ends a transfer after {self._max_idle_s:g} s, or to make room for "
            "others; send it again without pauses, or in smaller parts"
        )
        transfer.end(LimitExceeded(limit, text, retry_after_s=1.0))

    def _look_later(self) -> None:
        self._look = asyncio.get_running_loop().call_later(self._max_idle_s / _LOOKS, self._end_idle)

    def _end_idle(self) -> None:
        self._look = None
        for transfer in [each for each in self._under_way if each.idle_s >= self._max_idle_s]:
            self._end(transfer)
        if self._under_way:
            self._look_later()
