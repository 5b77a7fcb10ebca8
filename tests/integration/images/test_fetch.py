"""The fetcher against real servers on this machine, polite and hostile."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.integration.images.hosts import MAX_BYTES, Host, fetching, raw_server, refusal, serving

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.images.download import OPENING_BYTES
from imagebatch_server.images.fetch import Fetched
from imagebatch_server.images.shares import Shares


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with serving() as host:
        yield host


async def test_a_file_arrives_whole_with_its_type(host: Host) -> None:
    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=bytes(range(256)) * 400, headers={"Content-Type": "Image/PNG; charset=x"})

    host.pages["/picture"] = picture
    async with fetching() as fetcher:
        fetched = await fetcher.fetch(f"{host.url}/picture?signature=a%2Bb", timeout_s=20)
    assert (fetched.data, fetched.content_type) == (bytes(range(256)) * 400, "image/png")
    (request,) = host.requests
    assert request.raw_path == "/picture?signature=a%2Bb"
    assert request.headers["User-Agent"].startswith("imagebatch/")
    assert request.headers["Accept-Encoding"] == "identity"
    assert not {"Cookie", "Authorization", "Referer"} & set(request.headers)


@pytest.mark.parametrize(
    "header", [b"", b"Content-Type: picture\r\n", b"Content-Type: image/\xff\r\n", b"Content-Type:\r\n"]
)
async def test_what_is_no_type_is_none(header: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + header + b"Content-Length: 2\r\n\r\nhi"
    async with raw_server(answer) as url, fetching() as fetcher:
        fetched = await fetcher.fetch(url, timeout_s=20)
    assert (fetched.data, fetched.content_type) == (b"hi", None)


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 207, 226, 299])
async def test_every_status_that_brings_a_file_will_do(status: int) -> None:
    answer = b"HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\nhi" % status
    async with raw_server(answer) as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"


@pytest.mark.parametrize("content_range", ["bytes 0-1/2", "Bytes 0-1/2", "bytes 0-1/*", "bytes */2", "", "items 0-0/2"])
async def test_a_range_that_is_the_whole_will_do(content_range: str) -> None:
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {content_range}\r\nContent-Length: 2\r\n\r\n"
    async with raw_server(head.encode() + b"hi") as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"


@pytest.mark.parametrize("content_range", ["bytes 0-1/3", "bytes 1-2/3", "bytes  0-1/999"])
async def test_a_part_is_no_image(content_range: str) -> None:
    head = f"HTTP/1.1 206 Partial Content\r\nContent-Range: {content_range}\r\nContent-Length: 2\r\n\r\n"
    async with raw_server(head.encode() + b"hi") as url, fetching() as fetcher:
        assert "a part of the image" in await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED)


@pytest.mark.parametrize(
    "coding",
    [
        *("", " ", "identity", "IDENTITY", "aws-chunked", "aws-chunked,", "AWS-chunked, Identity", ", ,"),
        *("utf-8", "UTF-8", "none", "None", "binary", "8bit", "image/png", "null", "x"),
        "utf-8\r\nContent-Encoding: aws-chunked",
    ],
)
async def test_what_is_no_content_coding_is_passed_over(coding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\n"
    async with raw_server(head.encode() + b"hi") as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"


@pytest.mark.parametrize(
    "coding", ["gzip", "GZip", "x-gzip", "deflate", "br", "zstd", "identity, gzip", "gzip, aws-chunked", "a\r\n{}: br"]
)
async def test_what_is_compressed_is_not_inflated(coding: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: 2\r\n\r\n"
    answer = head.replace("{}", "Content-Encoding").encode() + b"hi"
    async with raw_server(answer) as url, fetching() as fetcher:
        assert "Content-Encoding" in await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED)


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length : 2\r\n",
        b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n",
        b"Content-Length:\r\n",
        b"no header\r\nContent-Length: 2\r\n",
        b"My Header: x\r\nContent-Length: 2\r\n",
        b"X-Long: x\r\n y\r\nContent-Length: 2\r\n",
        b"",
    ],
)
async def test_a_head_that_browsers_can_read_will_do(headers: bytes) -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\n" + headers + b"\r\nhi") as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"


async def test_chunks_count_more_than_a_length() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with raw_server(head + b"2\r\nhi\r\n0\r\n\r\n") as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"


async def test_lengths_that_differ_are_no_length() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n"
    async with raw_server(head + b"hi!") as url, fetching() as fetcher:
        assert "no valid HTTP" in await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED, transient=True)


MORE = [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"]
"""What some hosts send after their answer."""


@pytest.mark.parametrize("more", MORE)
async def test_what_comes_after_the_image_is_not_read(more: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"
    async with raw_server(head + b"y" * 200_000 + more) as url, fetching() as fetcher:
        assert (await fetcher.fetch(url, timeout_s=20)).data == b"y" * 200_000


@pytest.mark.parametrize("more", MORE)
async def test_a_host_that_says_more_is_asked_by_another_connection(more: bytes) -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" + more)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with fetching() as fetcher:
        for _ in range(3):
            assert (await fetcher.fetch(url, timeout_s=20)).data == b"hi"
    server.close()
    assert connections == 3


@pytest.mark.parametrize(
    "location",
    [
        b"/bytes/7",
        b"  /bytes/7  ",
        b"\t/bytes/7",
        b"/by\ttes/7",
        b"bytes/7",
        b"/bytes/7#fragment",
        b"\\bytes\\7",
        b"/x/../bytes/7",
        b"http:/bytes/7",
        b"http:bytes/7",
        b"//127.0.0.1:{port}/bytes/7",
        b"\\\\127.1:{port}\\bytes\\7",
        b"http:////127.0.0.1:{port}/bytes/7",
        b"HTTP://0x7f.1:{port}/bytes/7",
        b"http://127.0.0.1:0{port}/bytes/7?\xc3\xbc=\xfc a",
        b"http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1:{port}/bytes/7",
    ],
)
async def test_redirects_lead_where_browsers_go(location: bytes) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(request.split(b" ")[1].partition(b"?")[0])
        answer = b"HTTP/1.1 302 Found\r\nLocation: " + location.replace(b"{port}", port)
        writer.write((answer if len(asked) == 1 else b"HTTP/1.1 200 OK") + b"\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = str(server.sockets[0].getsockname()[1]).encode()
    async with fetching() as fetcher:
        await fetcher.fetch(f"http://127.0.0.1:{port.decode()}/", timeout_s=20)
    server.close()
    assert asked == [b"/", b"/bytes/7"]


@pytest.mark.parametrize("status", [204, 205, 304, 400, 401, 403, 404, 410, 451])
async def test_other_statuses_are_permanent(host: Host, status: int) -> None:
    async with fetching() as fetcher:
        message = await refusal(fetcher, f"{host.url}/status/{status}?secret", ItemErrorCode.FETCH_FAILED)
    assert f"status {status}" in message
    assert f"{host.url}/status/{status}" in message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
async def test_statuses_that_pass_are_transient(host: Host, status: int) -> None:
    async with fetching() as fetcher:
        await refusal(fetcher, f"{host.url}/status/{status}?secret", ItemErrorCode.FETCH_FAILED, transient=True)


@pytest.mark.parametrize("code", [300, 305, 306])
async def test_other_redirects_are_not_followed(host: Host, code: int) -> None:
    async with fetching() as fetcher:
        await refusal(fetcher, f"{host.url}/redirect/{code}?to=/bytes/7", ItemErrorCode.FETCH_FAILED)
    assert len(host.requests) == 1


async def test_redirects_have_an_end(host: Host) -> None:
    async def step(request: web.Request) -> web.Response:
        left = int(request.query["left"])
        raise web.HTTPFound(f"/step?left={left - 1}" if left > 1 else "/bytes/1")

    host.pages["/step"] = step
    async with fetching(max_redirects=3) as fetcher:
        assert (await fetcher.fetch(f"{host.url}/step?left=3", timeout_s=20)).data == b"x"
        host.requests.clear()
        message = await refusal(fetcher, f"{host.url}/step?left=4", ItemErrorCode.FETCH_FAILED)
    assert "more than 3 redirects" in message
    assert len(host.requests) == 4


async def test_a_redirect_to_nowhere_is_permanent() -> None:
    async with raw_server(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n") as url, fetching() as fetcher:
        await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED)


async def test_the_limit_is_exact(host: Host) -> None:
    async with fetching() as fetcher:
        assert len((await fetcher.fetch(f"{host.url}/bytes/{MAX_BYTES}", timeout_s=20)).data) == MAX_BYTES
        message = await refusal(fetcher, f"{host.url}/bytes/{MAX_BYTES + 1}", ItemErrorCode.TOO_LARGE)
    assert "1,048,577 bytes" in message
    assert "1,048,576" in message


async def test_a_length_too_large_is_refused_before_the_body() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"
    async with raw_server(head, then_hang=True) as url, fetching() as fetcher:
        await refusal(fetcher, url, ItemErrorCode.TOO_LARGE)


async def test_a_body_without_length_is_cut_at_the_limit(host: Host) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(65536))
            sent += 65536

    host.pages["/endless"] = endless
    async with fetching() as fetcher:
        await refusal(fetcher, f"{host.url}/endless", ItemErrorCode.TOO_LARGE)
    assert sent < 30 * MAX_BYTES  # what fits in the sockets' buffers, and no more


async def test_a_bomb_in_content_encoding_is_not_inflated(host: Host) -> None:
    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(bytes(50 * 1024 * 1024), 1), headers={"Content-Encoding": "gzip"})

    host.pages["/bomb"] = bomb
    async with fetching() as fetcher:
        message = await refusal(fetcher, f"{host.url}/bomb", ItemErrorCode.FETCH_FAILED)
    assert "Content-Encoding 'gzip'" in message


async def test_a_slow_drip_ends_at_the_time_limit(host: Host) -> None:
    dropped = asyncio.Event()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.01)
        finally:
            dropped.set()

    host.pages["/drip"] = drip
    async with fetching() as fetcher:
        message = await refusal(
            fetcher, f"{host.url}/drip?secret", ItemErrorCode.TIMEOUT, transient=True, timeout_s=0.3
        )
        await asyncio.wait_for(dropped.wait(), 10)
    assert "0.3 s" in message


async def test_the_time_limit_covers_headers_and_redirects() -> None:
    async with raw_server(b"HTTP/1.1 200 OK\r\n", then_hang=True) as url, fetching() as fetcher:
        await refusal(fetcher, url, ItemErrorCode.TIMEOUT, transient=True, timeout_s=0.2)


async def test_nobody_listening_is_transient() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with fetching() as fetcher:
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/a?secret"
            message = await refusal(fetcher, url, ItemErrorCode.FETCH_FAILED, transient=True)
            with pytest.raises(ItemError) as caught:
                await fetcher.fetch(url, timeout_s=20)
    assert "refused" in message
    assert (caught.value.busy, caught.value.retry_after_s) == (False, 60.0)


@pytest.mark.parametrize(
    ("status", "header", "busy", "retry_after_s"),
    [
        (429, "7", True, 7.0),
        (503, "0.5", True, 0.5),
        (503, "Fri, 31 Dec 1999 23:59:59 GMT", True, 0.0),
        (503, "soon", False, None),
        (429, "soon", True, None),
        (429, "-1", True, None),
        (429, "1_0", True, None),
        (429, "inf", True, None),
        (500, "7", False, 7.0),
        (404, "7", False, None),
    ],
)
async def test_a_host_says_when_to_come_again(
    host: Host, status: int, header: str, busy: bool, retry_after_s: float | None
) -> None:
    async def asked_too_much(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": header})

    host.pages["/busy"] = asked_too_much
    async with fetching() as fetcher:
        with pytest.raises(ItemError) as caught:
            await fetcher.fetch(f"{host.url}/busy", timeout_s=20)
    assert (caught.value.busy, caught.value.retry_after_s) == (busy, retry_after_s)


BROKEN = {
    "nothing": (b"", "closed the connection without an answer"),
    "cut": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut", "broke off"),
    "cut chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ncut", "broke off"),
    "cut header": (b"HTTP/1.1 200 OK\r\nContent-Le", "closed the connection without an answer"),
    "no chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "no valid HTTP"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "no valid HTTP"),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", "no valid HTTP"),
    "no length": (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "no valid HTTP"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy", "no valid HTTP"),
    "null in a header": (b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", "no valid HTTP"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_transient_and_said_as_such(name: str) -> None:
    answer, words = BROKEN[name]
    async with raw_server(answer) as url, fetching() as fetcher:
        message = await refusal(fetcher, f"{url}?secret", ItemErrorCode.FETCH_FAILED, transient=True)
    assert words in message
    assert "host's name" not in message
    assert message.isprintable()


PIECES = [b"HTTP/1.1 ", b"200", b"302", b" OK", b"\r\n", b"\r\n\r\n", b"Location: ", b"http://127.0.0.2/", b"//["]
PIECES += [
    b"Content-Length: ",
    b"Transfer-Encoding: chunked",
    b"Content-Encoding: gzip",
    b"5",
    b"-1",
    b"\0",
    b":",
    b"\xff",
]


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=30))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_answer_is_data_or_an_item_error(pieces: list[bytes]) -> None:
    async def ask(answer: bytes) -> None:
        async with raw_server(answer) as url, fetching() as fetcher:
            try:
                await fetcher.fetch(f"{url}?secret", timeout_s=20)
            except ItemError as error:
                assert "secret" not in error.message  # noqa: PT017 (data is right, too)

    asyncio.run(ask(b"".join(pieces)))
    asyncio.run(ask(b"HTTP/1.1 200 OK\r\n" + b"".join(pieces)))


async def test_cookies_are_not_kept(host: Host) -> None:
    async def baked(_: web.Request) -> web.Response:
        response = web.Response(body=b"x")
        response.set_cookie("secret", "1")
        return response

    host.pages["/baked"] = baked
    async with fetching() as fetcher:
        for _ in range(2):
            await fetcher.fetch(f"{host.url}/baked", timeout_s=20)
    assert all("Cookie" not in request.headers for request in host.requests)


async def test_many_large_files_share_the_memory(host: Host) -> None:
    async with fetching(max_memory_bytes=2 * MAX_BYTES) as fetcher:
        urls = [f"{host.url}/bytes/{MAX_BYTES - number}" for number in range(24)]
        fetched = await asyncio.gather(*(fetcher.fetch(url, timeout_s=20) for url in urls))
    assert [len(one.data) for one in fetched] == [MAX_BYTES - number for number in range(24)]


async def test_waiting_for_memory_is_not_charged_as_time(host: Host) -> None:
    held, free = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_: Fetched) -> None:
        held.release()
        await free.wait()

    async with fetching(max_memory_bytes=100_000, shares=Shares(1, 1, 1, 1)) as fetcher:
        others = [fetcher.fetch(f"{host.url}/bytes/{OPENING_BYTES + 99_999}", timeout_s=20, deliver=hold) for _ in "ab"]
        holding = [asyncio.create_task(other) for other in others]
        await held.acquire()
        await held.acquire()
        waiting = asyncio.create_task(fetcher.fetch(f"{host.url}/bytes/{OPENING_BYTES + 50_000}", timeout_s=1))
        small = await fetcher.fetch(f"{host.url}/bytes/1000", timeout_s=1)
        done, _ = await asyncio.wait([waiting], timeout=1.5)
        assert not done
        free.set()
        assert len((await waiting).data) == OPENING_BYTES + 50_000
        assert len(small.data) == 1_000, "what is small waits for nobody"
        await asyncio.gather(*holding)
