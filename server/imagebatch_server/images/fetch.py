"""Getting an image from a URL that a stranger chose."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any, Self

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.addresses import Address
from imagebatch_server.images.connection import FrugalConnection
from imagebatch_server.images.download import Download
from imagebatch_server.images.downloads import Downloads
from imagebatch_server.images.fetch_errors import connection_error, failed, refused
from imagebatch_server.images.guard import Guard
from imagebatch_server.images.host_headers import NO_HEADERS, headers_for
from imagebatch_server.images.resolving import GuardedResolver, ProxyResolver, checked_address
from imagebatch_server.images.shares import Shares, network_of
from imagebatch_server.urls import WebUrl, read, shown

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WITHOUT_BODY = frozenset({204, 205})

_COMPRESSIONS = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "dcb", "dcz"})
"""Content codings that change the bytes. Servers also put other words there, such as `aws-chunked` and `utf-8`."""

_MOST_ADDRESSES = 10_000
"""Hosts whose last address is remembered."""

_CONTENT_RANGE = re.compile(r"bytes +(\d{1,18})-(\d{1,18})/(\d{1,18})", re.IGNORECASE)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


@dataclass(frozen=True)
class _Request:
    """What a task asks for now, so that resolver and sockets know it."""

    url: WebUrl
    download: Download
    clock: asyncio.Timeout


_REQUEST: ContextVar[_Request] = ContextVar("request under way")


@dataclass(frozen=True)
class Fetched:
    """A file as a host sent it."""

    data: bytes
    content_type: str | None
    """As the host named it, such as `image/png`, without parameters; only a hint. None for what is no media type."""
    took_s: float
    """From the request to the last byte, waiting for memory included."""


async def _keep(_: Fetched) -> None:
    """Deliver to nobody but the caller."""


def trust(ca_pem: str) -> ssl.SSLContext:
    """Trust the system's authorities, or those of SSL_CERT_FILE, and these. Raises ssl.SSLError for what is none."""
    context = ssl.create_default_context()
    if ca_pem:
        context.load_verify_locations(cadata=ca_pem)
    context.set_alpn_protocols(["http/1.1"])
    return context


@asynccontextmanager
async def _off(clock: asyncio.Timeout) -> AsyncIterator[None]:
    """Let no time pass on a clock meanwhile."""
    loop = asyncio.get_running_loop()
    deadline, from_s = clock.when(), loop.time()
    clock.reschedule(None)
    yield
    clock.reschedule(None if deadline is None else deadline + loop.time() - from_s)


class Fetcher:
    """Download files within limits on addresses, bytes, redirects, work and time.

    Open with `async with`. How many run at once, and for which host, is the caller's to limit.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        max_bytes: int,
        max_redirects: int = 5,
        max_memory_bytes: int = 512 * 1024 * 1024,
        shares: Shares | None = None,
        ca_pem: str = "",
        proxy: str = "",
    ) -> None:
        """`ca_pem` are certificates that are trusted beside the system's; `proxy` is a URL, empty for none.

        Raises ssl.SSLError for what is no certificate.
        """
        self._guard = guard
        self._tls = trust(ca_pem)
        self._proxy = proxy_options(proxy)
        self.headers = NO_HEADERS
        """What the operator has sent to hosts."""
        self._addresses: OrderedDict[str, Address] = OrderedDict()
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects
        self._downloads = Downloads(max_memory_bytes, shares)

    async def __aenter__(self) -> Self:
        self._watch = asyncio.get_running_loop().create_task(self._downloads.watch())
        connector = aiohttp.TCPConnector(
            resolver=ProxyResolver() if self._proxy else GuardedResolver(self._guard, self._enter),
            use_dns_cache=False,  # a cached answer is one that was not checked when it was connected to
            limit=0,
            socket_factory=None if self._proxy else self._socket,
            ssl=self._tls,
        )
        factory: Any = partial(FrugalConnection, loop=asyncio.get_running_loop())
        connector._factory = factory  # noqa: SLF001 - aiohttp has no setting for it; a test holds that it is used
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,  # a proxy connects for us, where no guard stands: the operator is to know of it
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
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        await self._session.close()

    async def fetch(
        self,
        url: str,
        *,
        timeout_s: float,
        tenant: str = "",
        batch_id: str = "",
        on_slow: Callable[[], None] = lambda: None,
        deliver: Callable[[Fetched], Awaitable[None]] = _keep,
    ) -> Fetched:
        """Download one file. Waiting while others hold the memory, or its network, does not count as time.

        `tenant` and `batch_id` say whose shares it takes of. `on_slow` is called once if it takes long. `deliver` is
        given the file while its memory is still counted. Raises ItemError: FETCH_FORBIDDEN, FETCH_FAILED, TIMEOUT,
        TOO_LARGE; and Displaced.
        """
        began = asyncio.get_running_loop().time()
        with self._downloads.begin(on_slow, tenant, batch_id) as download:
            content_type = await self._download(url, timeout_s, download)
            self._downloads.came(download)
            took_s = asyncio.get_running_loop().time() - began
            fetched = Fetched(download.body.getvalue(), content_type, took_s)
            download.body.close()
            await deliver(fetched)
            return fetched

    async def _download(self, text: str, timeout_s: float, download: Download) -> str | None:
        # Errors are made anew, without the ones that they come of: these hold what was going on, in cycles.
        target = self._guard.check_url(text)
        try:
            async with asyncio.timeout(timeout_s) as clock:
                for _ in range(self._max_redirects + 1):
                    found = await self._ask(target, download, clock)
                    if not isinstance(found, WebUrl):
                        return found
                    target = found
                problem = failed(
                    target, f"is reached only after more than {self._max_redirects} redirects; give the image's own URL"
                )
        except TimeoutError:
            problem = ItemError(
                ItemErrorCode.TIMEOUT,
                f"{shown(target)} did not arrive within {timeout_s:g} s; try a faster host or upload it",
            )
        except aiohttp.ClientError as error:
            problem = connection_error(target, error)
            _let_go(error)
        except ItemError as error:
            problem = error
            _let_go(error)
        raise problem

    async def _ask(self, target: WebUrl, download: Download, clock: asyncio.Timeout) -> WebUrl | str | None:
        """Ask for a file; answers where to ask for it instead, or its media type once it is read."""
        _REQUEST.set(_Request(target, download, clock))
        known = target.address or self._addresses.get(target.host)
        if self._proxy and target.address is None:
            known = await checked_address(self._guard, target.host)
        if known is not None:  # a connection may be open already, so that nobody will be resolved
            await self._enter(known)
        url = URL(target.href, encoded=True)
        async with self._session.get(
            url, headers=self._headers(target), allow_redirects=False, **self._proxy
        ) as response:
            if response.status in _REDIRECTS:
                return self._redirected(target, response)
            _check_status(target, response)
            _check_encoding(target, response)
            await self._read(target, response, download, clock)
            return _media_type(response.headers.get("Content-Type", ""))

    async def _enter(self, address: Address) -> None:
        request = _REQUEST.get()
        self._addresses[request.url.host] = address
        self._addresses.move_to_end(request.url.host)
        if len(self._addresses) > _MOST_ADDRESSES:
            self._addresses.popitem(last=False)
        async with _off(request.clock):
            await self._downloads.enter(request.download, network_of(address))

    def _headers(self, target: WebUrl) -> CIMultiDict[str]:
        headers = CIMultiDict(headers_for(self.headers, target))
        if target.credentials is not None:
            headers["Authorization"] = target.credentials.as_basic()
        if (
            target.scheme == "http"
        ):  # the proxy reads it as its own; for https it gets `proxy_headers`, and the host none
            headers.update(self._proxy.get("proxy_headers", {}))
        return headers

    def _redirected(self, target: WebUrl, response: aiohttp.ClientResponse) -> WebUrl:
        location = response.headers.get("Location")
        if not location:
            raise failed(target, "answered with a redirect that leads nowhere; give the image's own URL")
        found = self._guard.check_redirect(target, location)
        if found.credentials is None and found.origin == target.origin:
            return replace(found, credentials=target.credentials)
        return found

    async def _read(
        self, target: WebUrl, response: aiohttp.ClientResponse, download: Download, clock: asyncio.Timeout
    ) -> None:
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large(target, f"{response.content_length:,} bytes")
        try:
            async for chunk in response.content.iter_any():
                if download.size_bytes + len(chunk) > self._max_bytes:
                    raise self._too_large(target, "more bytes")
                if self._downloads.fits(download, len(chunk)):
                    await self._downloads.add(download, chunk)
                else:
                    async with _off(clock):
                        await self._downloads.add(download, chunk)
        except BaseException:
            with suppress(Exception):  # what came and was not read: aiohttp's objects stay, in cycles
                response.content.read_nowait()
            raise

    def _too_large(self, target: WebUrl, size: str) -> ItemError:
        return ItemError(
            ItemErrorCode.TOO_LARGE,
            f"{shown(target)} has {size}, the limit is {self._max_bytes:,}; send the image smaller",
        )

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Open the socket that connects to an address: nothing can come between this check and the connection."""
        family, kind, protocol, _, endpoint = address
        self._guard.check_address(_REQUEST.get().url.host, endpoint[0])
        return socket.socket(family, kind, protocol)


def proxy_options(text: str) -> dict[str, Any]:
    """Tell the HTTP client of a proxy."""
    if not text:
        return {}
    url = read(text)
    options: dict[str, Any] = {"proxy": URL(url.href, encoded=True)}
    if url.credentials is not None:
        options["proxy_headers"] = {"Proxy-Authorization": url.credentials.as_basic()}
    return options


def _check_status(target: WebUrl, response: aiohttp.ClientResponse) -> None:
    """Take any answer that brings a whole file, as browsers do. Raises ItemError."""
    status = response.status
    if not 200 <= status < 300:
        raise refused(target, status, response.headers)
    if status in _WITHOUT_BODY:
        raise failed(target, f"answered with status {status}, without an image; check that the URL is an image's own")
    part = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip()) if status == 206 else None
    if part is not None and (int(part[1]) != 0 or int(part[2]) + 1 != int(part[3])):
        raise failed(target, "answered with only a part of the image, unasked; serve the whole, or upload it")


def _check_encoding(target: WebUrl, response: aiohttp.ClientResponse) -> None:
    """Refuse what is compressed: an image gains nothing by it, and a bomb all. What is no coding is passed over."""
    named = ",".join(response.headers.getall("Content-Encoding", []))
    for coding in (part.strip().lower() for part in named.split(",")):
        if coding in _COMPRESSIONS:
            raise failed(target, f"answered with Content-Encoding {coding!r}, unasked; serve the image as it is")


def _media_type(header: str) -> str | None:
    media_type = header.partition(";")[0].strip().lower()
    return media_type if _MEDIA_TYPE.fullmatch(media_type) else None


def _let_go(error: BaseException | None) -> None:
    """Drop what an error and its causes hold, so that no cycle keeps memory until the collector comes."""
    while error is not None:
        error.__traceback__ = None
        cause = error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = cause
