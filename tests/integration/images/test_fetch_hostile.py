"""Hosts that make work or fill memory are given up early, and what they sent is let go of at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import psutil
import pytest
from tests.integration.images.hosts import MAX_BYTES, fetching, raw_server, refusal

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.connection import FrugalConnection

MIB = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([HINTS * 20], "more than 16 interim answers"),
        ([HINTS * 200_000], "more than 16 interim answers"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100_000], "chunks of a few bytes"),
        ([HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 90 + b"\r\nx\r\n"] * 1_000, ""),
        ([HEAD, b"X-Filling: %s\r\n" % (b"y" * 1_000) * 300], "more than 65,536 bytes of headers"),
        ([HEAD, b"X-Filling: %s\r\n" % (b"y" * 300_000)], "more than 65,536 bytes of headers"),
    ],
)
async def test_a_host_that_makes_work_is_given_up(parts: list[bytes], words: str) -> None:
    async with raw_server(*parts, then_hang=True) as url, fetching() as fetcher:
        began = asyncio.get_running_loop().time()
        with pytest.raises(ItemError) as caught:
            await fetcher.fetch(url, timeout_s=20)
        assert asyncio.get_running_loop().time() - began < 10, "long before its time was over"
    assert caught.value.code is ItemErrorCode.FETCH_FAILED
    assert words in caught.value.message


@pytest.mark.parametrize("body", [b"no chunk\r\n", b"-5\r\nhello\r\n", b"f" * 40 + b"\r\n", b"2\r\nhello\r\n"])
async def test_a_body_that_turns_out_malformed_is_not_waited_for(body: bytes) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    async with raw_server(head, b"2\r\nhi\r\n", body, then_hang=True) as url, fetching() as fetcher:
        message = await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED, transient=True)
    assert "no valid HTTP" in message


async def test_segments_of_one_byte_are_given_up() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"\r\n")
        while not ended.is_set():
            writer.write(b"x")
            await asyncio.sleep(0)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with fetching() as fetcher:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        message = await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED)
    ended.set()
    server.close()
    assert "a few bytes at a time" in message


@pytest.mark.parametrize("interim", [0, 1, 16])
async def test_a_few_interim_answers_and_small_chunks_do_no_harm(interim: int) -> None:
    chunk = b"40\r\n" + b"z" * 64 + b"\r\n"
    answer = HINTS * interim + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 2_000 + b"0\r\n\r\n"
    async with raw_server(answer) as url, fetching() as fetcher:
        fetched = await fetcher.fetch(url, timeout_s=20)
    assert fetched.data == b"z" * 128_000


@pytest.mark.parametrize(("number", "size_bytes"), [(12, 1_000), (1, 12_000), (4, 15_000), (1, 60_000), (1_000, 40)])
async def test_large_headers_do_no_harm(number: int, size_bytes: int) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (one, b"y" * size_bytes) for one in range(number))
    async with raw_server(HEAD + headers + b"Content-Length: 2\r\n\r\nhi") as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"


async def test_every_connection_is_a_frugal_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FrugalConnection] = []
    real = FrugalConnection.connection_made

    def note(self: FrugalConnection, transport: asyncio.BaseTransport) -> None:
        made.append(self)
        real(self, transport)

    monkeypatch.setattr(FrugalConnection, "connection_made", note)
    async with raw_server(HEAD + b"Content-Length: 2\r\n\r\nhi") as url, fetching() as fetcher:
        await fetcher.fetch(url, timeout_s=20)
    assert len(made) == 1


@pytest.fixture
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collector")
async def test_what_failed_is_not_kept_in_memory() -> None:
    """Ten rounds of downloads that are too large, with the collector off: what they sent is gone when they end."""
    endless = HEAD + b"\r\n" + bytes(2 * MAX_BYTES)
    process = psutil.Process()
    codes: list[ItemErrorCode] = []
    async with raw_server(endless, then_hang=True) as url, fetching() as fetcher:

        async def fail() -> None:
            try:  # not by `raises`, which keeps the error in a cycle of its own
                await fetcher.fetch(url, timeout_s=20)
            except ItemError as error:
                codes.append(error.code)

        await asyncio.gather(*(fail() for _ in range(32)))
        before = process.memory_info().rss
        for _ in range(10):
            await asyncio.gather(*(fail() for _ in range(32)))
        grown = process.memory_info().rss - before
    assert codes == [ItemErrorCode.TOO_LARGE] * 352
    assert grown < 64 * MIB, f"320 failed downloads of {MAX_BYTES // MIB} MiB left {grown // MIB} MiB"
