"""A limit on the bytes that images hold in memory."""

from __future__ import annotations

import asyncio


class ByteBudget:
    """Counts bytes. Belongs to one event loop.

    Who knows a size only when the bytes are here takes them all the same, and begins nothing new while nothing is free.
    """

    def __init__(self, max_bytes: int) -> None:
        self._free_bytes = max_bytes
        self._given_back: asyncio.Event | None = None
        """Made when somebody waits: bytes come and go with every image, and hardly ever does one have to wait."""

    @property
    def free_bytes(self) -> int:
        """What may be taken; nothing, or less, when no other image is to be brought."""
        return self._free_bytes

    def take(self, size_bytes: int) -> None:
        """Count bytes that are held."""
        self._free_bytes -= size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Count them no more."""
        self._free_bytes += size_bytes
        if self._given_back is not None:
            self._given_back.set()
            self._given_back = None

    async def given_back(self) -> None:
        """Wait until bytes are given back."""
        if self._given_back is None:
            self._given_back = asyncio.Event()
        await self._given_back.wait()
