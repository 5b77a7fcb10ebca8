"""Downloads under way: how fast each comes, and how much all of them hold in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.addresses import Network
from imagebatch_server.images.download import OPENING_BYTES, Displaced, Download
from imagebatch_server.images.networks import Networks
from imagebatch_server.images.shares import MemoryShare, Shares

MOST_BYTES_A_S = 256 * 1024 * 1024
"""What all large downloads together take in: more than most networks bring, and little enough that small ones, which
are not held back, have their turn at once.
"""

SLOW_AFTER_S = 0.5
"""A download that takes longer is called slow, whatever the reason; nothing more happens to it for that."""

WINDOW_S = 60.0
LEAST_BYTES_A_WINDOW = 64 * 1024
"""What has to come in a window of time; a host that sends less is given up."""

_LOOK_S = 0.25
_IDLE_S = 1.0
"""A download that brings nothing for so long gives up its memory if others wait for some."""


class Downloads:
    """Count bytes as they come, and keep what all downloads hold together within `max_bytes`.

    So it is with those of a batch, of a tenant and of a network, each within its share. The opening of each is not
    counted. When memory is short, one that brings nothing makes room. Belongs to one event loop.
    """

    def __init__(self, max_bytes: int, shares: Shares | None = None) -> None:
        self._max_bytes = max_bytes
        self._shares = shares or Shares()
        self._overall = MemoryShare("overall", max_bytes)
        self._by_key: dict[Hashable, MemoryShare] = {}
        self._downloads: set[Download] = set()
        self._given_back = asyncio.Event()
        self._networks = Networks(self._shares.per_network, lambda one: self._end(one, Displaced()))

    @contextmanager
    def begin(self, on_slow: Callable[[], None], tenant: str = "", batch_id: str = "") -> Iterator[Download]:
        """Keep a download's bytes until the end of the block. Raises ItemError or Displaced where it is ended here."""
        now = asyncio.get_running_loop().time()
        download = Download(on_slow, tenant, batch_id, asyncio.current_task(), now, last_at=now, window_at=now)
        self._downloads.add(download)
        self._join(download, ("batch", batch_id), self._shares.per_batch)
        self._join(download, ("tenant", tenant), self._shares.per_tenant)
        download.shares.append(self._overall)
        self._overall.holders.add(download)
        try:
            yield download
        except asyncio.CancelledError:
            if download.end is None:
                raise
            assert download.task is not None  # noqa: S101 - it was cancelled
            download.task.uncancel()
            raise download.end from None
        finally:
            self._downloads.discard(download)
            self._networks.leave(download)
            counted_bytes, download.size_bytes = download.counted_bytes, 0
            download.body.close()  # an error's traceback may keep the download, but not its bytes
            download.task = download.end = None
            for share in download.shares:
                self._leave(download, share, counted_bytes)
            download.shares.clear()
            download.network_share = download.waits_for = None
            self._given_back.set()
            self._given_back = asyncio.Event()

    async def enter(self, download: Download, network: Network) -> None:
        """Wait until a download may ask a host of this network, which it is counted by from now on."""
        if download.network == network:
            return
        if download.network_share is not None:
            download.shares.remove(download.network_share)
            self._leave(download, download.network_share, download.counted_bytes)
            download.network_share = None
        await self._networks.enter(download, network)
        download.network_share = self._join(download, network, self._shares.per_network)
        download.last_at = download.window_at = asyncio.get_running_loop().time()

    def came(self, download: Download) -> None:
        """Note that all of it is here: it is slow no more, and its host is free for others."""
        download.has_come = True
        self._networks.leave(download)

    async def add(self, download: Download, chunk: bytes) -> None:
        """Add bytes that came, waiting while others hold the memory for them."""
        now = asyncio.get_running_loop().time()
        download.last_at = now
        has_waited = False
        while not self._take(download, len(chunk)):
            await self._given_back.wait()
            has_waited = True
        if has_waited:
            download.waits_for = None
            now = asyncio.get_running_loop().time()
            download.last_at = download.window_at = now
            download.window_bytes = download.size_bytes
        download.body.write(chunk)
        if download.counted_bytes:
            large = sum(bool(one.counted_bytes) and not one.has_come for one in self._downloads)
            await asyncio.sleep(len(chunk) * large / MOST_BYTES_A_S)

    def fits(self, download: Download, size_bytes: int) -> bool:
        """Whether so many bytes could be added without waiting."""
        needed = self._needs(download, size_bytes)
        return all(needed <= share.free_bytes for share in download.shares)

    async def watch(self) -> None:
        """Look after all downloads until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = asyncio.get_running_loop().time()
            for download in list(self._downloads):
                if not download.has_come:
                    self._look_at(download, now)
            self._networks.look()
            for share in {one.waits_for for one in self._downloads if one.waits_for is not None}:
                self._make_room(share, now)

    def _take(self, download: Download, size_bytes: int) -> bool:
        needed = self._needs(download, size_bytes)
        if needed:
            for share in download.shares:
                if not share.admits(download, needed):
                    download.waits_for = share
                    return False
        for share in download.shares:
            share.held_bytes += needed
        download.size_bytes += size_bytes
        return True

    def _join(self, download: Download, key: Hashable, fetches: int) -> MemoryShare:
        max_bytes = self._shares.of(self._max_bytes, fetches)
        share = self._by_key.setdefault(key, MemoryShare(key, max_bytes))
        share.held_bytes += download.counted_bytes
        share.holders.add(download)
        download.shares.insert(0, share)
        return share

    def _leave(self, download: Download, share: MemoryShare, counted_bytes: int) -> None:
        share.held_bytes -= counted_bytes
        share.holders.discard(download)
        if share.exempt is download:
            share.exempt = None
        if not share.holders:
            self._by_key.pop(share.key, None)

    def _needs(self, download: Download, size_bytes: int) -> int:
        return max(0, download.size_bytes + size_bytes - OPENING_BYTES) - download.counted_bytes

    def _look_at(self, download: Download, now: float) -> None:
        if not download.is_slow and now - download.began_at >= SLOW_AFTER_S:
            download.is_slow = True
            download.on_slow()
        if download.waits_for or self._networks.has_waiting(download) or now - download.window_at < WINDOW_S:
            return
        if download.size_bytes - download.window_bytes < LEAST_BYTES_A_WINDOW:
            self._end(
                download,
                ItemError(
                    ItemErrorCode.FETCH_FAILED,
                    f"the host sent less than {LEAST_BYTES_A_WINDOW:,} bytes in {WINDOW_S:g} s; "
                    "try a faster host or upload the image",
                    transient=True,
                ),
            )
        download.window_at, download.window_bytes = now, download.size_bytes

    def _make_room(self, share: MemoryShare, now: float) -> None:
        idle = [
            one
            for one in self._downloads
            if share in one.shares
            and one.counted_bytes
            and not one.waits_for
            and not one.has_come
            and now - one.last_at >= _IDLE_S
        ]
        if idle:
            self._end(max(idle, key=lambda one: one.size_bytes), Displaced())

    def _end(self, download: Download, error: Exception) -> None:
        if download.end is None and download.task is not None:
            download.end = error
            download.task.cancel()
