"""The fetch stage: files come over from a process of its own, whose death costs nobody but the one who caused it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from aiohttp import web
from tests.integration.executors.harness import MIB, eventually, runs
from tests.integration.images.hosts import Host, serving

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.supply.fetch_session import FetchedFile, FetchRequest
from imagebatch_server.executors.supply.fetch_stage import FetchSettings, FetchStage


async def admit(size_bytes: int) -> None:
    """There is room for everything."""


def request(url: str, **changes: Any) -> FetchRequest:
    given: dict[str, Any] = {"timeout_s": 20.0, "on_slow": lambda: None, "admit": admit}
    return FetchRequest("default", "batch", url, **(given | changes))


@asynccontextmanager
async def stage(**settings: Any) -> AsyncIterator[FetchStage]:
    limits: dict[str, Any] = {"max_image_bytes": 50 * MIB, "allowed_networks": ["127.0.0.1/32"]}
    made = FetchStage(FetchSettings(**limits | settings))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


def hang(host: Host, path: str) -> asyncio.Semaphore:
    """Let a page send the beginning of its answer and no more; what is returned counts requests."""
    asked = asyncio.Semaphore(0)

    async def answer(asking: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(asking)
        await response.write(b"x")
        asked.release()
        await asyncio.Event().wait()
        return response

    host.pages[path] = answer
    return asked


async def test_files_of_any_size_come_over_with_their_type(host: Host) -> None:
    async with stage() as fetching:
        for size in (0, 1, 255_999, 256 * 1024, 5 * MIB + 1):
            file = await fetching.fetch(request(f"{host.url}/bytes/{size}"))
            assert (file.data, file.content_type) == (b"x" * size, "image/png")
            assert file.took_s > 0
        (pid,) = fetching.pids
    await eventually(lambda: not runs(pid))


async def test_errors_come_over_whole(host: Host) -> None:
    async with stage(max_image_bytes=100) as fetching:
        for path, code, transient, busy in (
            ("/status/429", ItemErrorCode.FETCH_FAILED, True, True),
            ("/status/503", ItemErrorCode.FETCH_FAILED, True, False),
            ("/status/404", ItemErrorCode.FETCH_FAILED, False, False),
            ("/bytes/101", ItemErrorCode.TOO_LARGE, False, False),
        ):
            with pytest.raises(ItemError) as caught:
                await fetching.fetch(request(host.url + path))
            assert (caught.value.code, caught.value.transient, caught.value.busy) == (code, transient, busy)
        with pytest.raises(ItemError) as caught:
            await fetching.fetch(request("http://192.168.0.1/x"))
        assert caught.value.code is ItemErrorCode.FETCH_FORBIDDEN


async def test_a_file_waits_in_its_process_until_there_is_room(host: Host) -> None:
    sizes: list[int] = []
    room = asyncio.Event()

    async def wait_for_room(size_bytes: int) -> None:
        sizes.append(size_bytes)
        await room.wait()

    async with stage() as fetching:
        task = asyncio.create_task(fetching.fetch(request(f"{host.url}/bytes/5000", admit=wait_for_room)))
        await eventually(lambda: sizes == [5000])
        assert not task.done()
        room.set()
        assert len((await task).data) == 5000


async def test_a_slow_host_is_told_of_once(host: Host) -> None:
    hang(host, "/hangs")
    told: list[str] = []
    async with stage() as fetching:
        slow = request(f"{host.url}/hangs", timeout_s=2.0, on_slow=lambda: told.append("slow"))
        with pytest.raises(ItemError) as caught:
            await fetching.fetch(slow)
    assert caught.value.code is ItemErrorCode.TIMEOUT
    assert told == ["slow"]


async def test_a_fetch_that_nobody_wants_any_more_is_ended(host: Host) -> None:
    left = asyncio.Event()

    async def answer(asking: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(asking)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        finally:
            left.set()

    host.pages["/endless"] = answer
    async with stage() as fetching:
        task = asyncio.create_task(fetching.fetch(request(f"{host.url}/endless")))
        await eventually(lambda: bool(host.requests))
        task.cancel()
        await asyncio.wait_for(left.wait(), 10)


@pytest.mark.parametrize("kills", [1, 3])
async def test_a_killed_process_costs_nobody_anything(host: Host, kills: int) -> None:
    asked = hang(host, "/first")
    async with stage() as fetching:
        tasks = [asyncio.create_task(fetching.fetch(request(f"{host.url}/first"))) for _ in range(4)]
        for _ in range(kills):
            for _ in range(4):
                await asyncio.wait_for(asked.acquire(), 20)
            os.kill(fetching.pids[0], signal.SIGKILL)
        for _ in range(4):
            await asyncio.wait_for(asked.acquire(), 20)

        async def well(_: web.Request) -> web.Response:
            return web.Response(body=b"well")

        host.pages["/first"] = well
        os.kill(fetching.pids[0], signal.SIGKILL)
        assert [(await task).data for task in tasks] == [b"well"] * 4
        assert fetching.restarts == kills + 1


async def test_who_takes_the_process_down_pays_alone(host: Host) -> None:
    asked = hang(host, "/innocent")

    async def kill(asking: web.Request) -> web.StreamResponse:
        peer = asking.transport.get_extra_info("peername") if asking.transport else None
        assert peer is not None
        os.kill(_owner_of(peer[1], fetching.pids), signal.SIGSEGV)
        await asyncio.Event().wait()
        raise AssertionError

    async def well(_: web.Request) -> web.Response:
        return web.Response(body=b"well")

    host.pages["/poison"] = kill
    async with stage() as fetching:
        innocent = [asyncio.create_task(fetching.fetch(request(f"{host.url}/innocent"))) for _ in range(3)]
        for _ in range(3):
            await asyncio.wait_for(asked.acquire(), 20)
        host.pages["/innocent"] = well
        poison = asyncio.create_task(fetching.fetch(request(f"{host.url}/poison")))
        with pytest.raises(ItemError) as caught:
            await poison
        assert caught.value.code is ItemErrorCode.WORKER_CRASHED
        assert caught.value.transient
        assert "was killed by SIGSEGV" in caught.value.message
        files: list[FetchedFile] = await asyncio.gather(*innocent)
        assert [file.data for file in files] == [b"well"] * 3
        later = await fetching.fetch(request(f"{host.url}/bytes/7"))
        assert len(later.data) == 7


def _owner_of(port: int, pids: list[int]) -> int:
    """Which of the processes has a connection from this port."""
    for pid in pids:
        if any(connection.laddr.port == port for connection in psutil.Process(pid).net_connections("tcp")):
            return pid
    raise AssertionError(f"none of {pids} has a connection from port {port}")
