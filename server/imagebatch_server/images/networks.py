"""Whose hosts are asked at one time, by the network of the address that is connected to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from imagebatch_server.images.addresses import Network
from imagebatch_server.images.download import Download

SLOW_A_PLACE = 4
"""Fetches under way for each place: one that is slow lends its place to another, but not without end."""


@dataclass
class _Members:
    under_way: dict[Download, None] = field(default_factory=dict)
    waiting: dict[Download, asyncio.Future[None]] = field(default_factory=dict)

    def has_room(self, places: int) -> bool:
        quick = sum(not one.is_slow for one in self.under_way)
        return quick < places and len(self.under_way) < SLOW_A_PLACE * places

    def by_batch(self) -> Counter[str]:
        return Counter(one.batch_id for one in self.under_way)


class Networks:
    """Let so many fetches go to each network. Those that wait come in by batch, who has fewest there first.

    Where a network is full of slow fetches, a batch that has fewer there displaces the oldest of whoever has most.
    """

    def __init__(self, places: int, displace: Callable[[Download], None]) -> None:
        self._places = places
        self._displace = displace
        self._networks: dict[Network, _Members] = {}

    async def enter(self, download: Download, network: Network) -> None:
        """Count a download by this network and no other, when there is room; `leave` must follow."""
        if download.network == network:
            return
        self.leave(download)
        members = self._networks.setdefault(network, _Members())
        download.network = network
        waiting = members.waiting[download] = asyncio.get_running_loop().create_future()
        self._serve(members)
        await waiting

    def leave(self, download: Download) -> None:
        """Count it no more."""
        if download.network is None:
            return
        members = self._networks[download.network]
        members.under_way.pop(download, None)
        members.waiting.pop(download, None)
        if not members.under_way and not members.waiting:
            del self._networks[download.network]
        download.network = None
        self._serve(members)

    def has_waiting(self, download: Download) -> bool:
        """Tell whether it waits to be let in."""
        return download.network is not None and download in self._networks[download.network].waiting

    def look(self) -> None:
        """Let in whom the slow ones make room for."""
        for members in list(self._networks.values()):
            self._serve(members)

    def _serve(self, members: _Members) -> None:
        counts = members.by_batch()
        while members.waiting:
            first = min(members.waiting, key=lambda one: counts[one.batch_id])
            if not members.has_room(self._places):
                self._make_way(members, counts[first.batch_id])
                return
            members.under_way[first] = None
            counts[first.batch_id] += 1
            waiting = members.waiting.pop(first)
            if not waiting.done():
                waiting.set_result(None)

    def _make_way(self, members: _Members, newcomers: int) -> None:
        """End the oldest slow fetch of the batch that has most of them, if the newcomer's has fewer under way."""
        if len(members.under_way) < SLOW_A_PLACE * self._places:
            return  # those that are quick will be over soon, or slow
        slow = [one for one in members.under_way if one.is_slow and one.end is None and not one.has_come]
        counts = Counter(one.batch_id for one in slow)
        most = max(slow, key=lambda one: counts[one.batch_id], default=None)  # of equals the first, which is the oldest
        if most is not None and counts[most.batch_id] > newcomers + 1:
            self._displace(most)
