"""Getting an image from a URL that a stranger chose."""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
import ssl
import threading
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.budget import MemoryBudget, Share
from imagebatch_server.images.guard import ForbiddenAddress, Guard, shown

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_HOST: ContextVar[str] = ContextVar("host being fetched")


@dataclass(frozen=True)
class Fetched:
    """A file as a host sent it."""

    data: bytes
    content_type: str | None
    """As the host named it, such as `image/png`, without parameters; only a hint. None for what is no media type."""


class Fetcher:
    """Downloads files within limits on addresses, bytes, redirects and time.

    Open with `async with`. How many run at once, and for which host, is the caller's to limit.
    """

    def __init__(
        self, guard: Guard, *, max_bytes: int, max_redirects: int = 5, max_memory_bytes: int = 512 * 1024 * 1024
    ) -> None:
        self._guard = guard
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._max_memory_bytes = max_memory_bytes

    async def __aenter__(self) -> Self:
        self._budget = MemoryBudget(self._max_memory_bytes)
        connector = aiohttp.TCPConnector(
            resolver=_GuardedResolver(self._guard),
            use_dns_cache=False,  # a cached answer is one that was not checked when it was connected to
            limit=0,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy would connect for us, where no guard stands
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            headers={
                "User-Agent": f"imagebatch/{version('imagebatch')}",
                "Accept": "image/*, */*;q=0.5",
                "Accept-Encoding": "identity",
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, url: str, *, timeout_s: float) -> Fetched:
        """Download one file. Waiting for memory, because other downloads hold it, does not count as time.

        Raises ItemError: FETCH_FORBIDDEN, FETCH_FAILED, TIMEOUT, TOO_LARGE.
        """
        try:
            async with asyncio.timeout(timeout_s) as clock:
                return await self._follow(url, clock)
        except TimeoutError as error:
            raise ItemError(
                ItemErrorCode.TIMEOUT,
                f"{shown(url)} did not arrive within {timeout_s:g} s; try a faster host or upload it",
            ) from error
        except aiohttp.ClientError as error:
            raise _connection_error(url, error) from error

    async def _follow(self, url: str, clock: asyncio.Timeout) -> Fetched:
        target = self._guard.check_url(url)
        for _ in range(self._max_redirects + 1):
            _HOST.set(target.raw_host or "")
            async with self._session.get(target, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await self._read(target, response, clock)
                location = response.headers.get("Location")
            if location is None:
                raise _failed(target, "answered with a redirect that leads nowhere; give the image's own URL")
            target = self._guard.check_redirect(target, location)
        raise _failed(
            target, f"is reached only after more than {self._max_redirects} redirects; give the image's own URL"
        )

    async def _read(self, target: URL, response: aiohttp.ClientResponse, clock: asyncio.Timeout) -> Fetched:
        if response.status != 200:
            transient = response.status in _TRANSIENT_STATUSES or response.status >= 500
            remedy = "the host may recover" if transient else "check that the URL is right and public"
            raise _failed(target, f"answered with status {response.status}; {remedy}", transient=transient)
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            # Not inflated: an image gains nothing by it, and a bomb all.
            raise _failed(
                target, f"answered with Content-Encoding {encoding[:40]!r}, unasked; serve the image as it is"
            )
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large(target, f"{response.content_length:,} bytes")
        body = io.BytesIO()
        with self._budget.share() as share:
            async for chunk in response.content.iter_any():
                if share.held_bytes + len(chunk) > self._max_bytes:
                    raise self._too_large(target, "more bytes")
                if not self._budget.try_take(share, len(chunk)):
                    await self._take_off_the_clock(share, len(chunk), clock)
                body.write(chunk)
            return Fetched(body.getvalue(), _media_type(response.headers.get("Content-Type", "")))

    async def _take_off_the_clock(self, share: Share, size_bytes: int, clock: asyncio.Timeout) -> None:
        loop = asyncio.get_running_loop()
        deadline, waited_from = clock.when(), loop.time()
        clock.reschedule(None)
        await self._budget.take(share, size_bytes)
        clock.reschedule(None if deadline is None else deadline + loop.time() - waited_from)

    def _too_large(self, target: URL, size: str) -> ItemError:
        return ItemError(
            ItemErrorCode.TOO_LARGE,
            f"{shown(str(target))} has {size}, the limit is {self._max_bytes:,}; send the image smaller",
        )

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """The socket that connects to an address: nothing can come between this check and the connection."""
        family, kind, protocol, _, endpoint = address
        self._guard.check_address(_HOST.get(), endpoint[0])
        return socket.socket(family, kind, protocol)


class _GuardedResolver(AbstractResolver):
    """Names to addresses, all of which are allowed."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await _lookup(host, port, family)
        self._guard.check_answer(host, [str(endpoint[0]) for *_, endpoint in found])
        return [
            ResolveResult(
                hostname=host,
                host=str(endpoint[0]),
                port=port,
                family=address_family,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address_family, _, protocol, _, endpoint in found
        ]

    async def close(self) -> None:
        """Nothing to close."""


async def _lookup(host: str, port: int, family: int) -> list[Any]:
    # A daemon thread each, and no pool: a name server that hangs must hold up neither other hosts' names, nor other
    # work on the loop's threads, nor the end of the process. The number of fetches bounds the number of threads.
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def deliver(result: list[Any] | Exception) -> None:
        if answer.done():
            return
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def ask() -> None:
        result: list[Any] | Exception
        try:
            result = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            result = error if isinstance(error, OSError) else OSError(str(error))
        with suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits any more
            loop.call_soon_threadsafe(deliver, result)

    threading.Thread(target=ask, name=f"lookup {host}", daemon=True).start()
    return await answer


def _media_type(header: str) -> str | None:
    media_type = header.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else None


def _failed(target: URL, what: str, *, transient: bool = False) -> ItemError:
    return ItemError(ItemErrorCode.FETCH_FAILED, f"{shown(str(target))} {what}", transient=transient)


def _connection_error(url: str, error: aiohttp.ClientError) -> ItemError:
    """The error's own text is not used where it may hold the URL's query."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ForbiddenAddress):
        return ItemError(ItemErrorCode.FETCH_FORBIDDEN, str(cause))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", "") or "it is not valid for this host"
        what = f"{shown(url)} has a TLS certificate that is refused: {reason}"
        return ItemError(ItemErrorCode.FETCH_FAILED, f"{what}; mend the host or upload the image")
    return ItemError(
        ItemErrorCode.FETCH_FAILED,
        f"{shown(url)} can't be read: {_reason(cause)}; check the host's name and that it is up",
        transient=True,
    )


def _reason(cause: Exception) -> str:
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason})"
    if isinstance(cause, socket.gaierror):
        return cause.strerror or "its name is not known"
    if isinstance(cause, OSError) and cause.errno:
        return os.strerror(cause.errno)  # asyncio's own words name the address, which is nobody's business
    return type(cause).__name__
