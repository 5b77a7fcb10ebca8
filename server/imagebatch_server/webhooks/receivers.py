"""The port `Receivers` by HTTP: strangers chose the addresses, so that the guard of fetching stands before them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self

import aiohttp
from yarl import URL

from imagebatch_server import urls
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.batches.model import Notification, ReceiverAnswer
from imagebatch_server.images.addresses import Address, Network, parse
from imagebatch_server.images.fetch import proxy_options, trust
from imagebatch_server.images.guard import Guard
from imagebatch_server.images.resolving import GuardedResolver, ProxyResolver, checked_address
from imagebatch_server.retry_after import retry_after_s
from imagebatch_server.urls import BadUrl, WebUrl
from imagebatch_server.webhooks import signing
from imagebatch_server.webhooks.secrets_file import TenantSecret

ATTEMPT_S = 15.0
"""From the name's lookup to the answer's headers; of its body nothing is read."""

NETWORKS_SETTING = "IMAGEBATCH_NOTIFY_ALLOWED_NETWORKS"

_TO: ContextVar[WebUrl] = ContextVar("receiver that is connected to")


class _NotOpened(OSError):
    """A plain http URL that leads out of the networks that were opened for it."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is in no network of {NETWORKS_SETTING}, and others are told by https alone")


class HttpReceivers:
    """The port `Receivers`. Open with `async with`."""

    def __init__(
        self,
        secrets: Callable[[], Sequence[TenantSecret]],
        *,
        allowed_networks: Sequence[Network] = (),
        ca_pem: str = "",
        proxy: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`ca_pem` are certificates that are trusted beside the system's; `proxy` is a URL, empty for none."""
        self._secrets = secrets
        self._networks = tuple(allowed_networks)
        self._guard = Guard(allowed_networks=allowed_networks)
        self._tls = trust(ca_pem)
        self._proxy = proxy_options(proxy)
        self._now = now

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=ProxyResolver() if self._proxy else GuardedResolver(self._guard, self._check_opened),
                use_dns_cache=False,  # a cached answer is one that was not checked when it was connected to
                force_close=True,  # the rest of an answer is not waited for
                limit=0,
                socket_factory=None if self._proxy else self._socket,
                ssl=self._tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_S),
            headers={"User-Agent": f"imagebatch/{version('imagebatch')}", "Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def problem(self, tenant: str, notify_url: str) -> str | None:
        try:
            url = urls.read(notify_url)
            self._guard.check_url(notify_url)
        except BadUrl as error:
            return str(error)
        except ItemError:
            return f"leads to no public address; the server's operator opens its network in {NETWORKS_SETTING}"
        if url.credentials is not None:
            return "holds a user name or a password; receivers know the service by its signature"
        if url.scheme == "http" and not self._is_opened(url.address):
            return f"must begin with https://; http is for networks that the operator opens in {NETWORKS_SETTING}"
        if not self._keys(tenant):
            return (
                f"can't be signed: tenant {tenant} has no secret; the server's operator makes one with "
                f"`imagebatch webhook create {tenant}`"
            )
        return None

    async def post(self, notification: Notification) -> ReceiverAnswer:
        keys = self._keys(notification.tenant)
        if not keys:
            return ReceiverAnswer(None, None, "its tenant has no secret any more")
        try:
            url = self._guard.check_url(notification.notify_url)
            _TO.set(url)
            if self._proxy:
                known = url.address or await checked_address(self._guard, url.host)
                if url.scheme == "http" and not (known is not None and self._is_opened(known)):
                    raise _NotOpened(url.host)
            async with self._session.post(
                URL(url.href, encoded=True),
                data=notification.body,
                headers=signing.headers(notification.webhook_id, int(self._now().timestamp()), notification.body, keys),
                allow_redirects=False,
                **self._proxy,
            ) as response:
                status, retry_after = response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, OSError, ItemError, TimeoutError) as error:
            return ReceiverAnswer(None, None, _words(error))
        return ReceiverAnswer(status, retry_after_s(retry_after), f"it answered {status}")

    def _keys(self, tenant: str) -> list[bytes]:
        now = self._now()
        newest_first = sorted(self._secrets(), key=lambda each: each.created_at, reverse=True)
        return [signing.key_of(each.secret) for each in newest_first if each.tenant == tenant and each.signs(now)]

    def _is_opened(self, address: Address | None) -> bool:
        """Whether plain http may go to an address, or to a name's, which is known when it is connected to."""
        if address is None:
            return bool(self._networks)
        return any(address in network for network in self._networks)

    async def _check_opened(self, address: Address) -> None:
        url = _TO.get()
        if url.scheme == "http" and not self._is_opened(address):
            raise _NotOpened(url.host)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        """Open the socket that connects to an address: nothing can come between this check and the connection."""
        family, kind, protocol, _, endpoint = address
        url = _TO.get()
        self._guard.check_address(url.host, endpoint[0])
        if url.scheme == "http" and not self._is_opened(parse(endpoint[0])):
            raise _NotOpened(url.host)
        return socket.socket(family, kind, protocol)


def _words(error: BaseException) -> str:
    """Say what went wrong, for the operator: the URL is the caller's, and its query may hold a secret."""
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return f"it did not answer within {ATTEMPT_S:g} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"it can't be connected to: {error.os_error}"
    return str(error) if isinstance(error, OSError | ItemError) else type(error).__name__
