"""Fetching through the operator's proxy: what it is asked for, and what it is not even asked for."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.images.hosts import Host, Names, fetching, refusal, serving
from tests.integration.images.test_fetch_tls import context_of, https

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.app.authority import Authority
from imagebatch_server.images.guard import Guard

CLOSED = Guard()


class Proxy:
    """A proxy that connects everybody to one port of this machine, whatever they ask for."""

    def __init__(self, to_port: int) -> None:
        self.to_port = to_port
        self.url = ""
        self.asked: list[str] = []
        self.authorizations: list[str | None] = []
        self.answer: bytes | None = None
        """What it says instead of connecting."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        found = [header.partition(": ")[2] for header in headers if header.lower().startswith("proxy-authorization:")]
        self.asked.append(line.rpartition(" ")[0])
        self.authorizations.append(found[0] if found else None)
        if self.answer is not None:
            writer.write(self.answer)
            writer.close()
            return
        from_host, to_host = await asyncio.open_connection("127.0.0.1", self.to_port)
        if line.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            to_host.write(head)
        await asyncio.gather(_pump(reader, to_host), _pump(from_host, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


@pytest.fixture
async def proxy(host: Host) -> AsyncIterator[Proxy]:
    proxy = Proxy(host.port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield proxy
    server.close()


async def test_a_proxy_is_asked_by_the_names_that_urls_have(
    host: Host, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, public_example=[["8.8.8.8"]])
    url = proxy.url.replace("//", "//user:pass%20word@")
    async with fetching(CLOSED, proxy=url) as fetcher:
        assert (await fetcher.fetch("http://public.example/bytes/3?a=%2F", timeout_s=20)).data == b"xxx"
        assert (await fetcher.fetch("http://only-the-proxy-knows.invalid/bytes/1", timeout_s=20)).data == b"x"
    assert proxy.asked == [
        "GET http://public.example/bytes/3?a=%2F",
        "GET http://only-the-proxy-knows.invalid/bytes/1",
    ]
    assert set(proxy.authorizations) == {"Basic " + base64.b64encode(b"user:pass word").decode()}


async def test_a_proxy_is_not_asked_for_what_is_forbidden(
    host: Host, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, inside_example=[["10.0.0.1"]], mixed_example=[["8.8.8.8", "127.0.0.1"]])
    async with fetching(CLOSED, proxy=proxy.url) as fetcher:
        for url in ("http://inside.example/", "http://mixed.example/", "https://inside.example/", "http://localhost/"):
            await refusal(fetcher, url, ItemErrorCode.FETCH_FORBIDDEN)
        for url in ("http://169.254.169.254/", "http://127.1/", f"{host.url}/bytes/1", "http://[::1]/"):
            await refusal(fetcher, url, ItemErrorCode.FETCH_FORBIDDEN)
    assert not proxy.asked
    assert not host.requests


async def test_tls_goes_through_a_tunnel_and_is_checked_by_name(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    Names(monkeypatch, public_example=[["8.8.8.8"]], other_example=[["8.8.8.8"]])
    async with https(context_of(authority.issue("server", hosts=["public.example"]))) as url:
        proxy.to_port = int(url.rstrip("/").rpartition(":")[2])
        through = proxy.url.replace("//", "//user:word@")
        async with fetching(CLOSED, proxy=through, ca_pem=authority.certificate.read_text()) as fetcher:
            assert (await fetcher.fetch("https://public.example/?secret", timeout_s=20)).data == b"hi"
            message = await refusal(fetcher, "https://other.example:8443/?secret", ItemErrorCode.FETCH_FAILED)
    assert proxy.asked == ["CONNECT public.example:443", "CONNECT other.example:8443"]
    assert None not in proxy.authorizations
    assert "for another name" in message


@pytest.mark.parametrize(("status", "transient"), [(403, False), (407, False), (502, True)])
async def test_what_a_proxy_refuses_is_told_as_its_refusal(
    proxy: Proxy, status: int, transient: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, public_example=[["8.8.8.8"]])
    proxy.answer = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    async with fetching(CLOSED, proxy=proxy.url) as fetcher:
        url = "https://public.example/?secret"
        message = await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED, transient=transient)
    assert f"this server's proxy, status {status}" in message
    assert "IMAGEBATCH_FETCH_PROXY" in message


async def test_a_proxy_that_is_away_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, public_example=[["8.8.8.8"]])
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with fetching(CLOSED, proxy=f"http://127.0.0.1:{unused.getsockname()[1]}") as fetcher:
            message = await refusal(
                fetcher, "http://public.example/?secret", ItemErrorCode.FETCH_FAILED, transient=True
            )
    assert "this server's proxy is away" in message
