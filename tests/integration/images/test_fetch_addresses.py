"""The fetcher reaches no address that the guard forbids, whatever names, redirects and proxies say."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from tests.integration.images.hosts import Host, Names, fetching, raw_server, refusal, serving

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.images.guard import Guard


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_each_redirect_is_followed_and_judged(host: Host, code: int) -> None:
    async with fetching() as fetcher:
        fetched = await fetcher.fetch(f"{host.url}/redirect/{code}?to=/bytes/7", timeout_s=20)
        assert fetched.data == b"x" * 7
        for target in ("http://127.0.0.2/", "http://[::1]/", "http://169.254.169.254/", "http://0xa9fea9fe/"):
            message = await refusal(fetcher, f"{host.url}/redirect/{code}?to={target}", ItemErrorCode.FETCH_FORBIDDEN)
            assert "127.0.0.1:" not in message  # the refused target is named, and not where it came from
        for target in ("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "data:,x"):
            await refusal(fetcher, f"{host.url}/redirect/{code}?to={target}", ItemErrorCode.FETCH_FORBIDDEN)
    assert {request.method for request in host.requests} == {"GET"}


async def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The classic attack: an allowed address for the check, a forbidden one for the connection.
    names = Names(monkeypatch, rebinding_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with fetching() as fetcher:
        fetched = await fetcher.fetch(f"http://rebinding.example:{host.port}/bytes/3", timeout_s=20)
    assert fetched.data == b"xxx"
    assert names.asked == ["rebinding.example"]


async def test_a_name_that_moves_is_refused_the_second_time(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async def closing(_: web.Request) -> web.Response:
        response = web.Response(body=b"x")
        response.force_close()  # or the second request would go to the first, checked address, on its connection
        return response

    host.pages["/closing"] = closing
    names = Names(monkeypatch, rebinding_example=[["127.0.0.1"], ["127.0.0.2"]])
    url = f"http://rebinding.example:{host.port}"
    async with fetching() as fetcher:
        await fetcher.fetch(f"{url}/closing", timeout_s=20)
        message = await refusal(fetcher, f"{url}/bytes/3?secret", ItemErrorCode.FETCH_FORBIDDEN)
    assert "host rebinding.example is at no public address" in message
    assert "127.0.0.2" not in message
    assert "IMAGEBATCH" not in message
    assert len(names.asked) == 2


async def test_a_redirect_to_the_same_name_asks_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch, rebinding_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with (
        raw_server(b"HTTP/1.1 302 Found\r\nLocation: /\r\nConnection: close\r\n\r\n") as url,
        fetching() as fetcher,
    ):
        await refusal(fetcher, url.replace("127.0.0.1", "rebinding.example"), ItemErrorCode.FETCH_FORBIDDEN)


@pytest.mark.parametrize(
    "answer", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "::1"], ["127.0.0.1", "10.0.0.1"]]
)
async def test_a_mixed_answer_is_refused(host: Host, monkeypatch: pytest.MonkeyPatch, answer: list[str]) -> None:
    Names(monkeypatch, mixed_example=[answer])
    async with fetching() as fetcher:
        await refusal(fetcher, f"http://mixed.example:{host.port}/bytes/3", ItemErrorCode.FETCH_FORBIDDEN)
    assert not host.requests


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "::ffff:127.0.0.2", "64:ff9b::7f00:1", "169.254.169.254"])
async def test_a_name_at_a_forbidden_address_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    Names(monkeypatch, inside_example=[[address]])
    async with fetching() as fetcher:
        await refusal(fetcher, "http://inside.example/", ItemErrorCode.FETCH_FORBIDDEN)


async def test_a_named_host_is_opened_and_no_other(host: Host) -> None:
    async with fetching(Guard(allowed_hosts=["localhost"])) as fetcher:
        fetched = await fetcher.fetch(f"http://localhost:{host.port}/bytes/3", timeout_s=20)
        assert fetched.data == b"xxx"
        await refusal(fetcher, f"http://127.0.0.1:{host.port}/bytes/3", ItemErrorCode.FETCH_FORBIDDEN)
        message = await refusal(
            fetcher, f"http://localhost:{host.port}/redirect/302?to={host.url}", ItemErrorCode.FETCH_FORBIDDEN
        )
    assert "127.0.0.1" in message


async def test_the_last_check_stands_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    # Were the resolver's check ever passed by, no socket would be made all the same.
    Names(monkeypatch, inside_example=[["127.0.0.2"]])
    guard = Guard()
    monkeypatch.setattr(guard, "check_answer", lambda *_: None)
    async with fetching(guard) as fetcher:
        await refusal(fetcher, f"http://inside.example:{host.port}/bytes/3", ItemErrorCode.FETCH_FORBIDDEN)
        await refusal(fetcher, f"{host.url}/bytes/3", ItemErrorCode.FETCH_FORBIDDEN)
    assert not host.requests


async def test_an_unknown_name_is_transient() -> None:
    async with fetching() as fetcher:
        message = await refusal(fetcher, "http://host.invalid/?secret", ItemErrorCode.FETCH_FAILED, transient=True)
    assert "http://host.invalid/" in message


async def test_a_name_server_that_hangs_holds_up_no_other_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(monkeypatch, quick_example=[["127.0.0.1"]])
    known, released = names._getaddrinfo, threading.Event()

    def sometimes_hanging(name: str, port: int, **options: Any) -> list[Any]:
        if name == "slow.example":
            released.wait(30)
        return known(name, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", sometimes_hanging)
    async with fetching() as fetcher:
        slow = [asyncio.create_task(fetcher.fetch("http://slow.example/", timeout_s=20)) for _ in range(64)]
        await asyncio.sleep(0)
        fetched = await fetcher.fetch(f"http://quick.example:{host.port}/bytes/3", timeout_s=20)
        assert fetched.data == b"xxx"
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    released.set()


async def test_proxies_of_the_environment_are_ignored(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy") as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        async with fetching() as fetcher:
            assert (await fetcher.fetch(f"{host.url}/bytes/3", timeout_s=20)).data == b"xxx"
            await refusal(fetcher, "http://127.0.0.2/", ItemErrorCode.FETCH_FORBIDDEN)
