"""The HTTP server: uvicorn on the server's own event loop, with bounds on what comes before a request is there."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from imagebatch_server.http.app import HttpApp
from imagebatch_server.http.exchange import Receive, Scope, Send

MAX_HEADER_BYTES = 16 * 1024
"""As many as of a call by gRPC."""

HEAD_WITHIN_S = 20.0
"""For a request's head to be here, from when the connection is there or its first byte is."""

KEEP_ALIVE_S = 75
"""For the next request of a connection to come."""


class HttpServer:
    """Answer HTTP/1.1 from `start` to `stop`."""

    def __init__(self, app: HttpApp, *, tls: ssl.SSLContext | None = None) -> None:
        config = uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whoever calls could name any peer
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_keep_alive=KEEP_ALIVE_S,
            ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        )
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the application logs what failed itself
        self._uvicorn = _Uvicorn(config)
        self._running: asyncio.Task[None] | None = None

    async def start(self, listening: socket.socket) -> None:
        """Answer at an address that was taken by `listen`."""
        self._running = asyncio.create_task(self._uvicorn.serve([listening]))
        up = asyncio.create_task(self._uvicorn.is_up.wait())
        await asyncio.wait({self._running, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if self._running.done():
            self._running.result()  # it raises why

    async def stop(self, grace_s: float = 0.0) -> None:
        """Take no requests any more, and cancel those that have not ended after `grace_s`."""
        if self._running is not None:
            self._uvicorn.config.timeout_graceful_shutdown = math.ceil(grace_s)
            self._uvicorn.should_exit = True
            await self._running
            self._running = None


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever runs the server."""
        yield


class _Protocol(H11Protocol):
    """A connection whose request's head must come soon: bytes that trickle in hold it no longer."""

    _head_by: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        super().connection_made(transport)
        shown = transport.get_extra_info("ssl_object")
        certificate = None if shown is None else shown.getpeercert(binary_form=True)
        if certificate is not None:
            self.app = _showing(self.app, ssl.DER_cert_to_PEM_cert(certificate))
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._head_by is None and self._is_between_requests():
            self._await_head()
        super().data_received(data)
        if not self._is_between_requests():
            self._stop_awaiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        super().connection_lost(exc)

    def _is_between_requests(self) -> bool:
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _await_head(self) -> None:
        self._head_by = self.loop.call_later(HEAD_WITHIN_S, self._give_up)

    def _stop_awaiting(self) -> None:
        if self._head_by is not None:
            self._head_by.cancel()
            self._head_by = None

    def _give_up(self) -> None:
        self._head_by = None
        self.transport.close()


def _showing(app: Any, certificate: str) -> Any:
    """Tell the application what the peer showed, as ASGI's extension for TLS has it."""

    async def shown(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {"tls": {"client_cert_chain": [certificate]}}}, receive, send)

    return shown


def listen(address: str) -> socket.socket:
    """Take an address, `host:port`; port 0 takes a free one. Raises OSError."""
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, resolved = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(resolved)
        except OSError:
            listening.close()
            raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OSError(f"can't listen on {address}: {why}; give another --http-address, as host:port") from error
    return listening
