"""Downloads share memory: small ones never wait, who holds least goes first, and who brings nothing makes room."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images import downloads as module
from imagebatch_server.images.addresses import parse
from imagebatch_server.images.download import OPENING_BYTES, Displaced, Download
from imagebatch_server.images.downloads import Downloads
from imagebatch_server.images.networks import SLOW_A_PLACE
from imagebatch_server.images.shares import Shares, network_of

ONE = Shares(1, 1, 1, 1)
"""Everything is one batch's, if it wants it."""


def nothing() -> None:
    """Nobody listens."""


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a fact that nothing announces."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.005)


@asynccontextmanager
async def watched(max_bytes: int) -> AsyncIterator[Downloads]:
    downloads = Downloads(max_bytes, ONE)
    watching = asyncio.create_task(downloads.watch())
    yield downloads
    watching.cancel()


async def add(downloads: Downloads, download: Download, size_bytes: int) -> None:
    await downloads.add(download, bytes(size_bytes))


async def test_the_opening_of_a_download_waits_for_nobody() -> None:
    downloads = Downloads(10, ONE)
    with downloads.begin(nothing) as large, downloads.begin(nothing) as small:
        await add(downloads, large, OPENING_BYTES + 10)
        await add(downloads, small, OPENING_BYTES)
        assert (large.counted_bytes, small.counted_bytes) == (10, 0)


async def test_one_at_a_time_may_go_on_and_who_holds_least_is_first() -> None:
    downloads = Downloads(100, ONE)
    with downloads.begin(nothing) as full:
        await add(downloads, full, OPENING_BYTES + 100)
        with downloads.begin(nothing) as newcomer:
            await add(downloads, newcomer, OPENING_BYTES)
            await asyncio.wait_for(add(downloads, newcomer, 500), 5)  # the one that may
            waiting = asyncio.create_task(add(downloads, full, 30))
            await asyncio.sleep(0)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 5)
    assert downloads._overall.free_bytes == 100


async def test_a_cancelled_waiter_holds_nothing() -> None:
    downloads = Downloads(10, ONE)

    async def wait_for_more() -> None:
        with downloads.begin(nothing) as download:
            await add(downloads, download, OPENING_BYTES)
            await add(downloads, download, 20)

    with downloads.begin(nothing) as first:
        await add(downloads, first, OPENING_BYTES + 15)  # the one that may
        waiting = asyncio.create_task(wait_for_more())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert downloads._overall.free_bytes == 10


async def test_what_brings_nothing_makes_room_for_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_IDLE_S", 0.05)

    async def stall(downloads: Downloads, holds: asyncio.Event) -> None:
        with downloads.begin(nothing) as download:
            await add(downloads, download, OPENING_BYTES + 100)
            holds.set()
            await asyncio.Event().wait()

    async with watched(100) as downloads:
        holds = asyncio.Event()
        stalling = asyncio.create_task(stall(downloads, holds))
        await holds.wait()
        with downloads.begin(nothing) as first, downloads.begin(nothing) as second:
            await add(downloads, first, OPENING_BYTES + 1)  # the one that may
            await asyncio.wait_for(add(downloads, second, OPENING_BYTES + 1), 5)
        with pytest.raises(Displaced):
            await stalling


async def test_a_host_that_sends_too_little_is_slow_and_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "SLOW_AFTER_S", 0.02)
    monkeypatch.setattr(module, "WINDOW_S", 0.1)
    told: list[str] = []

    async def drip(downloads: Downloads) -> None:
        with downloads.begin(lambda: told.append("slow")) as download:
            while True:
                await add(downloads, download, 1)
                await asyncio.sleep(0.01)

    async with watched(100) as downloads:
        with pytest.raises(ItemError) as caught:
            await asyncio.wait_for(drip(downloads), 5)
    assert (caught.value.code, caught.value.transient) == (ItemErrorCode.FETCH_FAILED, True)
    assert told == ["slow"]


@pytest.mark.parametrize("kind", ["batch", "tenant", "network"])
async def test_a_newcomer_finds_memory_whatever_others_hold(kind: str) -> None:
    shares = Shares(overall=8, per_batch=2, per_tenant=4, per_network=2)
    downloads = Downloads(400, shares)
    share = {"batch": 100, "tenant": 200, "network": 100}[kind]
    networks = [network_of(parse(text)) for text in ("192.0.2.1", "192.0.2.250", "198.51.100.1")]

    async def hold(number: int, size_bytes: int) -> None:
        same = {"batch": f"b{number}", "tenant": "t", "network": f"t{number}"} | {kind: "same"}
        with downloads.begin(nothing, same["tenant"], same["batch"]) as download:
            if kind == "network":
                await downloads.enter(download, networks[number % 2])
            await add(downloads, download, OPENING_BYTES + size_bytes)
            await asyncio.Event().wait()

    holding = [asyncio.create_task(hold(number, 60)) for number in range(8)]
    await asyncio.sleep(0.05)
    held_bytes = sum(one.counted_bytes for one in downloads._downloads)
    assert share < held_bytes <= share + 60, "its share, and one image more"
    with downloads.begin(nothing, "newcomer", "newcomer") as newcomer:
        await downloads.enter(newcomer, networks[2])
        await asyncio.wait_for(add(downloads, newcomer, OPENING_BYTES + 100), 5)
    for task in holding:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)
    assert downloads._overall.free_bytes == 400
    assert not downloads._by_key
    assert not downloads._networks._networks


async def test_a_network_has_places_and_the_slow_lend_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "SLOW_AFTER_S", 0.05)
    network = network_of(parse("192.0.2.1"))
    inside: list[str] = []
    displaced: list[str] = []

    async def hang(downloads: Downloads, batch_id: str) -> None:
        try:
            with downloads.begin(nothing, "t", batch_id) as download:
                await downloads.enter(download, network)
                inside.append(batch_id)
                await asyncio.Event().wait()
        except Displaced:
            displaced.append(batch_id)

    downloads = Downloads(100, Shares(overall=4, per_network=2))
    hanging = [asyncio.create_task(hang(downloads, "hog")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(inside) == 2
    watching = asyncio.create_task(downloads.watch())
    await until(lambda: len(inside) == 2 * SLOW_A_PLACE)
    newcomer = asyncio.create_task(hang(downloads, "newcomer"))
    await until(lambda: "newcomer" in inside)
    assert displaced == ["hog"]
    assert len(inside) == 2 * SLOW_A_PLACE + 1
    for task in [*hanging, newcomer, watching]:
        task.cancel()
    await asyncio.gather(*hanging, newcomer, watching, return_exceptions=True)
    assert not downloads._networks._networks


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.130", "192.0.2.0/24"),
        ("::ffff:192.0.2.130", "192.0.2.0/24"),
        ("2606:4700:1:2:3::4", "2606:4700:1:2::/64"),
    ],
)
def test_a_network_is_what_is_likely_in_one_hand(text: str, network: str) -> None:
    assert str(network_of(parse(text))) == network
