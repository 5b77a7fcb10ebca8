"""What one batch, one tenant and one network may have of the fetches and of the memory for downloads."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, ip_network
from typing import Protocol

from imagebatch_server.images.addresses import Address, Network


@dataclass(frozen=True)
class Shares:
    """Fetches at one time; of the memory, each may hold what its fetches are of all."""

    overall: int = 64
    per_batch: int = 48
    per_tenant: int = 56
    per_network: int = 32

    def of(self, max_bytes: int, fetches: int) -> int:
        """Answer the bytes that go with so many fetches."""
        return min(max_bytes, max_bytes * fetches // self.overall)


@lru_cache(1024)
def network_of(address: Address) -> Network:
    """Answer the network that is likely in one hand: a /24 of IPv4, a /64 of IPv6."""
    length = 24 if isinstance(address, IPv4Address) else 64
    return ip_network(f"{address}/{length}", strict=False)


class Holder(Protocol):
    """A download, as far as its share of the memory goes."""

    size_bytes: int
    waits_for: MemoryShare | None


@dataclass(eq=False)
class MemoryShare:
    """Memory that some downloads hold together.

    One image more may be held: downloads that hold a part each and wait for more would wait for ever, so one at a time
    may go on. Whoever holds least goes first, so that who comes new is not behind those that hold everything.
    """

    key: Hashable
    max_bytes: int
    held_bytes: int = 0
    holders: set[Holder] = field(default_factory=set)
    exempt: Holder | None = None

    @property
    def free_bytes(self) -> int:
        """What may be taken."""
        return self.max_bytes - self.held_bytes

    def admits(self, holder: Holder, needed_bytes: int) -> bool:
        """Tell whether a download may hold so much more; if not, it waits for this share."""
        others = (one.size_bytes for one in self.holders if one.waits_for is self and one is not holder)
        is_first = holder.size_bytes <= min(others, default=holder.size_bytes)
        if is_first and needed_bytes <= self.free_bytes:
            return True
        if is_first and self.exempt is None:
            self.exempt = holder
        return self.exempt is holder
