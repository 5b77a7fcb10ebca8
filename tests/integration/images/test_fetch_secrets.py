"""Whom credentials are sent to: the origin that they are for, and nobody whom it redirects to."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest
from tests.integration.images.hosts import Host, fetching, refusal, serving

from imagebatch.v1.enums import ItemErrorCode

BASIC = "Basic " + base64.b64encode(b"user:pass word").decode()


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


@pytest.fixture
async def other() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


def with_credentials(host: Host) -> str:
    return host.url.replace("//", "//user:pass%20word@")


def sent(host: Host) -> list[str | None]:
    return [request.headers.get("Authorization") for request in host.requests]


async def test_credentials_of_a_url_are_used_on_its_origin(host: Host) -> None:
    async with fetching() as fetcher:
        await fetcher.fetch(f"{with_credentials(host)}/redirect/302?to=/bytes/1", timeout_s=20)
        await fetcher.fetch(f"{host.url}/bytes/1", timeout_s=20)
    assert sent(host) == [BASIC, BASIC, None]
    assert all("@" not in str(request.url) for request in host.requests)


async def test_credentials_of_a_url_never_go_to_another_origin(host: Host, other: Host) -> None:
    back = f"{other.url}/redirect/302?to={host.url}/bytes/1"
    async with fetching() as fetcher:
        await fetcher.fetch(f"{with_credentials(host)}/redirect/307?to={back}", timeout_s=20)
    assert sent(host) == [BASIC, None], "nor come back from there"
    assert sent(other) == [None]


async def test_credentials_are_in_no_message(host: Host) -> None:
    async with fetching(max_redirects=0) as fetcher:
        for path in ("/status/401", "/redirect/302?to=/", "/redirect/302?to=http://user:secret@host:99999/"):
            url = f"{host.url}{path}".replace("//127", "//user:secret@127")
            message = await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED)
            assert "user" not in message


async def test_the_operators_headers_go_to_their_host_and_nobody_else(host: Host, other: Host) -> None:
    async with fetching() as fetcher:
        fetcher.headers = {"http://127.0.0.1": {"Authorization": "Bearer operator", "X-Key": "k"}}
        await fetcher.fetch(f"{host.url}/redirect/302?to=http://localhost:{other.port}/bytes/1", timeout_s=20)
        fetcher.headers = {}
        await fetcher.fetch(f"{host.url}/bytes/1", timeout_s=20)
    assert sent(host) == ["Bearer operator", None]
    assert host.requests[0].headers["X-Key"] == "k"
    assert sent(other) == [None]
    assert "X-Key" not in other.requests[0].headers


async def test_a_urls_own_credentials_come_before_the_operators(host: Host) -> None:
    async with fetching() as fetcher:
        fetcher.headers = {"http://127.0.0.1": {"authorization": "Bearer operator", "X-Key": "k"}}
        await fetcher.fetch(f"{with_credentials(host)}/bytes/1", timeout_s=20)
    assert sent(host) == [BASIC]
    assert host.requests[0].headers.getall("Authorization") == [BASIC]
    assert host.requests[0].headers["X-Key"] == "k"
