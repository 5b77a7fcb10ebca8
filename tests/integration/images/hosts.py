"""Web servers and resolvers that behave as a test tells them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.fetch import Fetcher
from imagebatch_server.images.guard import Guard

LOCAL = Guard(allowed_networks=[ip_network("127.0.0.1/32")])
MAX_BYTES = 1024 * 1024


@asynccontextmanager
async def fetching(guard: Guard = LOCAL, **options: Any) -> AsyncIterator[Fetcher]:
    async with Fetcher(guard, **({"max_bytes": MAX_BYTES} | options)) as fetcher:
        yield fetcher


async def refusal(
    fetcher: Fetcher, url: str, code: ItemErrorCode, *, transient: bool = False, timeout_s: float = 20
) -> str:
    with pytest.raises(ItemError) as caught:
        await fetcher.fetch(url, timeout_s=timeout_s)
    assert (caught.value.code, caught.value.transient) == (code, transient), caught.value
    assert "secret" not in caught.value.message
    return caught.value.message


class Host:
    """A web server of the tests: `/bytes/N`, `/status/N`, `/redirect/CODE?to=URL`, and what `pages` holds."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.pages: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {}
        self.url = ""
        self.port = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        kind, _, rest = request.path.lstrip("/").partition("/")
        if kind == "bytes":
            return web.Response(body=b"x" * int(rest), content_type="image/png")
        if kind == "status":
            return web.Response(status=int(rest), text="secret")
        if kind == "redirect":
            return web.Response(status=int(rest), headers={"Location": request.query["to"]})
        return await self.pages[request.path](request)


@asynccontextmanager
async def serving() -> AsyncIterator[Host]:
    """Run a Host."""
    host = Host()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.port = runner.addresses[0][1]
    host.url = f"http://127.0.0.1:{host.port}"
    yield host
    await runner.cleanup()


@asynccontextmanager
async def raw_server(*parts: bytes, then_hang: bool = False) -> AsyncIterator[str]:
    """Run a server that sends these bytes, whatever it is asked."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        if then_hang:
            await ended.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        ended.set()
        server.close()


class Names:
    """Stand in for the machine's resolver, one answer after the other; the last one stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)

    def _getaddrinfo(self, name: str, port: int, **options: Any) -> list[Any]:
        self.asked.append(name)
        answers = self.answers.get(name)
        if answers is None:
            return self._real(name, port, **options)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [entry for address in addresses for entry in self._real(address, port, **options)]
