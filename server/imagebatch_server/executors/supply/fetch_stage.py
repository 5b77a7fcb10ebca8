"""Fetching in processes of its own: supervised like the workers, and one that dies costs at most the fetch that did it.

When a fetching process is killed, what it held is fetched again. When it dies by itself, what it held is suspected, and
goes one by one to a second process: the one that dies alone pays. Everybody else goes on in the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.backoff import Backoff
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.protocol.fetching import StartFetching
from imagebatch_server.executors.supply.fetch_session import FetchedFile, FetchRequest, FetchSession, SessionEnded
from imagebatch_server.images.host_headers import NO_HEADERS, Tables
from imagebatch_server.images.shares import Shares

log = structlog.get_logger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0

_MOST_KILLS = 5
"""Killed processes that a fetch may lose before it is suspected; and then, alone, before it pays."""

_OWN_BYTES = 1024 * 1024 * 1024
"""What a fetching process may use beside its downloads: itself, connections, what is on its way to the server."""


@dataclass(frozen=True)
class FetchSettings:
    """What holds for every fetching process."""

    max_image_bytes: int
    max_redirects: int = 5
    download_bytes: int = 512 * 1024 * 1024
    """What downloads may hold in memory."""
    shares: Shares = field(default_factory=Shares)
    allowed_hosts: Sequence[str] = ()
    allowed_networks: Sequence[str] = ()
    ca_pem: str = ""
    """Certificates that are trusted beside the system's."""
    proxy: str = field(default="", repr=False)
    """The URL of the proxy that everything is fetched through, with its credentials; empty for none."""


class _Supervised:
    """A fetching process that is replaced whenever it ends."""

    def __init__(self, start: StartFetching, headers: Callable[[], Tables]) -> None:
        self._start = start
        self._headers = headers
        self._session: FetchSession | None = None
        self._ready = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self.restarts = 0
        """Processes that were replaced."""

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        return None if self._session is None else self._session.pid

    def begin(self) -> None:
        """Start a process, unless that was done, and keep one running."""
        if self._supervisor is None:
            self._supervisor = asyncio.get_running_loop().create_task(self._supervise())

    async def stop(self) -> None:
        """End the process; nothing more is fetched."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)

    async def fetch(self, request: FetchRequest) -> FetchedFile:
        """Have a file fetched, by the next process if there is none just now."""
        self.begin()
        while self._session is None or not self._session.is_ready:
            self._ready.clear()
            await self._ready.wait()
        return await self._session.fetch(request, self._headers())

    async def _supervise(self) -> None:
        backoff = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while True:
            was_ready, how = await self._run_child()
            self.restarts += 1
            if was_ready:
                log.warning("fetching_process.replaced", how=how, restarts=self.restarts)
                backoff.reset()
                continue
            pause_s = backoff.next_s()
            log.error("fetching_process.start_failed", how=how, again_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _run_child(self) -> tuple[bool, str]:
        was_ready = False

        def ready() -> None:
            nonlocal was_ready
            was_ready = True
            self._ready.set()

        try:
            self._session = session = FetchSession(self._start, ready)
        except OSError as error:
            return False, str(error)
        try:
            how = await session.run()
        finally:
            self._session = None
        return was_ready, how


class FetchStage:
    """Get files from URLs. Belongs to one event loop. Start it with `start`."""

    def __init__(self, settings: FetchSettings, headers: Callable[[], Tables] = lambda: NO_HEADERS) -> None:
        """`headers` are those that the operator has sent to image hosts, as they are now."""
        start = StartFetching(
            memory_bytes=settings.download_bytes + settings.max_image_bytes + _OWN_BYTES,
            download_bytes=settings.download_bytes,
            shares=settings.shares,
            max_image_bytes=settings.max_image_bytes,
            max_redirects=settings.max_redirects,
            allowed_hosts=list(settings.allowed_hosts),
            allowed_networks=list(settings.allowed_networks),
            ca_pem=settings.ca_pem,
            proxy=settings.proxy,
        )
        self._common = _Supervised(start, headers)
        self._lonely = _Supervised(start, headers)
        self._alone = asyncio.Lock()

    @property
    def restarts(self) -> int:
        """Fetching processes that were replaced."""
        return self._common.restarts + self._lonely.restarts

    @property
    def pids(self) -> list[int]:
        """Of the fetching processes there are."""
        return [one.pid for one in (self._common, self._lonely) if one.pid is not None]

    async def start(self) -> None:
        """Start the process; fetches may be asked for at once."""
        self._common.begin()

    async def stop(self) -> None:
        """End the processes. Fetches that are under way are to be cancelled before."""
        await asyncio.gather(self._common.stop(), self._lonely.stop())

    async def fetch(self, request: FetchRequest) -> FetchedFile:
        """Have a file fetched, whatever happens to processes. Raises ItemError, MadeWay."""
        kills = 0
        while kills < _MOST_KILLS:
            try:
                return await self._common.fetch(request)
            except SessionEnded as ended:
                if not ended.was_killed or ended.was_silent:
                    break
                kills += 1
        kills = 0
        while True:
            try:
                async with self._alone:
                    return await self._lonely.fetch(request)
            except SessionEnded as ended:
                kills += 1
                if ended.was_silent:
                    raise _hung(request) from None
                if not ended.was_killed or kills >= _MOST_KILLS:
                    raise _crashed(ended.how) from None


def _hung(request: FetchRequest) -> ItemError:
    return ItemError(
        ItemErrorCode.TIMEOUT,
        f"the image did not arrive within {request.timeout_s:g} s, and nothing else could be fetched meanwhile; "
        "upload it instead",
    )


def _crashed(how: str) -> ItemError:
    return ItemError(
        ItemErrorCode.WORKER_CRASHED,
        f"the fetching process {how} while it fetched this image alone; upload the image instead",
    )
