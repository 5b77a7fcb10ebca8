"""One download under way."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass, field

from imagebatch_server.images.addresses import Network
from imagebatch_server.images.shares import MemoryShare

OPENING_BYTES = 256 * 1024
"""What every download may hold, however little memory is left: small images never wait for large ones."""


class Displaced(Exception):
    """A download was ended in favour of others, through no fault of its own; it may be begun again."""


@dataclass(eq=False)
class Download:
    """One download; only `Downloads` changes it."""

    on_slow: Callable[[], None]
    tenant: str
    batch_id: str
    task: asyncio.Task[object] | None
    began_at: float
    body: io.BytesIO = field(default_factory=io.BytesIO)
    size_bytes: int = 0
    shares: list[MemoryShare] = field(default_factory=list)
    """Of the memory, that of all downloads last."""
    waits_for: MemoryShare | None = None
    """What it waits for, because others hold the memory."""
    network: Network | None = None
    """Of the address that it comes from, or waits to be asked for at."""
    network_share: MemoryShare | None = None
    """One of its shares."""
    last_at: float = 0.0
    """When bytes came last."""
    window_at: float = 0.0
    window_bytes: int = 0
    is_slow: bool = False
    has_come: bool = False
    end: Exception | None = None
    """Why it was ended from here."""

    @property
    def counted_bytes(self) -> int:
        """What it holds of the memory that all share."""
        return max(0, self.size_bytes - OPENING_BYTES)
