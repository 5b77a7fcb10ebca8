"""More callers than the server takes, and callers who hold on to what they got: the others are served all the same."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import psutil
import pytest
from grpc import aio
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.operations import OPERATIONS
from tests.faults.stores import Store
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item, refusal, refused
from tests.server import ServerProcess, running_server

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.image_service_pb2_grpc import ImageServiceStub
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED
from imagebatch_client import AsyncBatchClient, BatchImageInput, ConnectionSettings, ServerInfo

CALLERS = 2_000
FEW = 50
CONNECTIONS = 1_064
UPLOADS = 991
SCARCE = ("prlimit", "--nofile=1024:1024")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_server(tmp_path / "data") as running:
        yield running


@pytest.fixture
def short_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Run a server that may open 1,024 files and can't raise that."""
    with running_server(tmp_path / "data", within=SCARCE) as running:
        yield running


def submitted(server: ServerProcess) -> str:
    """Submit a batch of one good image, wait for its end, and answer its id."""
    raw = Raw(server.address)
    batch_id = raw.submit([item(image_base64=pictures.data_url(pictures.drawn()))], operation="thumbnail").batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    raw.close()
    return batch_id


def server_info(raw: Raw) -> batch_service_pb2.GetServerInfoResponse:
    return raw.batches.GetServerInfo(batch_service_pb2.GetServerInfoRequest(), timeout=10)


async def answers(address: str, batch_id: str, callers: int) -> Counter[str]:
    """Ask for a batch's status so many times at once, by bare stubs, and count how the calls end."""
    async with aio.insecure_channel(address) as channel:
        stub = BatchServiceStub(channel)
        request = batch_service_pb2.GetBatchStatusRequest(batch_id=batch_id)
        await stub.GetBatchStatus(request)

        async def one() -> str:
            try:
                await stub.GetBatchStatus(request, timeout=60)
            except aio.AioRpcError as error:
                told = refusal(error)
                assert told.retry_delay_s is not None
                assert told.retry_delay_s > 0
                return f"{told.code.name} {told.metadata['limit']}"
            return "OK"

        return Counter(await asyncio.gather(*(one() for _ in range(callers))))


@pytest.mark.parametrize("callers", [CALLERS, 4 * CALLERS])
def test_no_call_of_a_crowd_ends_without_a_word(server: ServerProcess, tell: Tell, callers: int) -> None:
    ended = asyncio.run(answers(server.address, submitted(server), callers))
    tell(f"{callers} status calls at once: {dict(ended)}")
    assert ended["OK"] >= CALLERS - 1
    assert set(ended) <= {"OK", "RESOURCE_EXHAUSTED max_calls"}


async def submits_while_calls_wait(server: ServerProcess) -> tuple[str, int]:
    """Hold all calls up by the database's lock until one is refused; answers how, and how many submits succeed."""
    lock = sqlite3.connect(server.data_dir / "imagebatch.db")
    lock.execute("BEGIN IMMEDIATE")
    inputs = [BatchImageInput(image_url="http://127.0.0.1:1/a.png")]
    async with (
        AsyncBatchClient(ConnectionSettings(server.address, timeout_s=60)) as client,
        aio.insecure_channel(server.address) as channel,
    ):
        submits = [asyncio.create_task(client.submit("thumbnail", inputs)) for _ in range(4 * FEW)]
        stub = BatchServiceStub(channel)
        told = None
        while told is None:
            try:
                await stub.GetServerInfo(batch_service_pb2.GetServerInfoRequest())
            except aio.AioRpcError as error:
                told = refusal(error)
        lock.close()
        batches = await asyncio.gather(*submits)
    assert told.retry_delay_s is not None
    return f"{told.code.name} {told.metadata['limit']} {told.metadata['value']}", len({one.batch_id for one in batches})


def test_calls_beyond_the_limit_are_refused_in_words_and_our_client_comes_back(tmp_path: Path, tell: Tell) -> None:
    with running_server(tmp_path / "data", settings={"max_calls": str(FEW)}) as server:
        refused, submitted_batches = asyncio.run(submits_while_calls_wait(server))
        assert not tracebacks(server)
    tell(
        f"{4 * FEW} submits while the store was locked, {FEW} calls taken: {refused}; {submitted_batches} batches made"
    )
    assert refused == f"RESOURCE_EXHAUSTED max_calls {FEW}"
    assert submitted_batches == 4 * FEW


def test_the_limit_on_open_files_is_raised_at_start(tmp_path: Path, tell: Tell) -> None:
    with running_server(tmp_path / "data", within=("prlimit", "--nofile=256:4096")) as server:
        soft, hard = psutil.Process(server.process.pid).rlimit(psutil.RLIMIT_NOFILE)
    tell(f"started with 256 of 4,096: {soft} of {hard}")
    assert soft == hard == 4096


def test_a_limit_that_leaves_nothing_for_callers_is_refused_at_start(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "data", within=("prlimit", "--nofile=200:200"))
    with pytest.raises(RuntimeError, match="limit on open files is 200, and this server needs"):
        server.start()


@contextmanager
def idle_connections(address: str, count: int) -> Iterator[list[socket.socket]]:
    """Hold connections on which nothing is ever sent."""
    host, _, port = address.rpartition(":")
    connections = [socket.create_connection((host, int(port))) for _ in range(count)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def test_where_every_connection_is_busy_a_newcomer_is_refused_in_words_and_comes_in_later(
    tmp_path: Path, tell: Tell
) -> None:
    settings = {"max_connections": "8"}
    with running_server(tmp_path / "data", settings=settings, operations=OPERATIONS) as server:
        gate = tmp_path / "gate"
        raws = [own_connection(server.address) for _ in range(8)]
        waits = item(image_base64=pictures.data_url(pictures.drawn()), metadata={"do": "wait", "until": str(gate)})
        batch_id = raws[0].submit([waits]).batch_id
        watches = [raw.watch(batch_id) for raw in raws]
        for watch in watches:
            next(watch)
        newcomer = own_connection(server.address)
        told = refused(lambda: server_info(newcomer))
        assert not server_info(raws[0]).draining, "who has a connection keeps it"
        gate.touch()
        for watch in watches:
            list(watch)
        assert not server_info(newcomer).draining
        for raw in (newcomer, *raws):
            raw.close()
        assert not tracebacks(server)
    tell(f"8 connections, each with a watch: {told.code.name} {told.metadata['limit']} for the ninth")
    assert (told.code.name, told.metadata["limit"]) == ("RESOURCE_EXHAUSTED", "max_connections")
    assert told.retry_delay_s is not None


def own_connection(address: str) -> Raw:
    """Reach a server by a connection that is shared with nobody in this process."""
    return Raw(address, grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]))


def closed(connections: list[socket.socket]) -> int:
    """Count connections that the server has closed."""
    count = 0
    for connection in connections:
        connection.setblocking(False)
        with suppress(BlockingIOError):
            try:
                while connection.recv(4096):
                    pass
                count += 1
            except ConnectionResetError:
                count += 1
    return count


def test_idle_connections_lock_nobody_out(short_server: ServerProcess, tell: Tell) -> None:
    caller = Raw(short_server.address)
    server_info(caller)  # who has called before outlasts those that never did
    with idle_connections(short_server.address, CONNECTIONS) as connections:
        began = time.monotonic()
        info = asyncio.run(first_call(short_server.address))
        took_s = time.monotonic() - began
        assert not info.draining
        assert not server_info(caller).draining
        ended = closed(connections)
    caller.close()
    tell(f"{CONNECTIONS} idle connections at a limit of 1,024: {ended} closed; a newcomer was served in {took_s:.1f} s")
    assert ended > CONNECTIONS / 4
    assert "connections.idle_closed" in short_server.log
    assert not tracebacks(short_server)


async def first_call(address: str) -> ServerInfo:
    """Call by a connection of its own."""
    async with AsyncBatchClient(ConnectionSettings(address)) as client:
        return await client.server_info()


async def drip(stub: object, ended: list[str]) -> None:
    """Upload without end, a byte at a time."""

    async def requests() -> AsyncIterator[image_service_pb2.UploadImageRequest]:
        yield image_service_pb2.UploadImageRequest(header=image_service_pb2.UploadImageHeader(file_name="slow"))
        while True:
            yield image_service_pb2.UploadImageRequest(chunk=b"x")
            await asyncio.sleep(1)  # the pace of this caller, not a wait for anything

    try:
        await stub.UploadImage(requests())  # type: ignore[attr-defined]  # the stub of grpc.aio
    except aio.AioRpcError as error:
        told = refusal(error)
        ended.append(f"{told.code.name} {told.metadata.get('limit', told.reason)}")
        assert told.retry_delay_s is not None


async def drips(server: ServerProcess, ended: list[str]) -> str:
    """Send an image beside UPLOADS callers who send a byte a second, and answer its key."""
    async with aio.insecure_channel(server.address) as slow:
        dripping = [asyncio.create_task(drip(ImageServiceStub(slow), ended)) for _ in range(UPLOADS)]
        async with AsyncBatchClient(ConnectionSettings(server.address, timeout_s=30)) as client:
            await client.server_info()
            uploaded = await client.upload_image(pictures.drawn())
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
    return uploaded.object_key


def test_uploads_of_a_byte_a_second_lock_nobody_out(short_server: ServerProcess, tell: Tell) -> None:
    ended: list[str] = []
    began = time.monotonic()
    object_key = asyncio.run(drips(short_server, ended))
    took_s = time.monotonic() - began
    tell(f"{UPLOADS} uploads of a byte a second: {dict(Counter(ended))}; an image was uploaded within {took_s:.1f} s")
    raw = Raw(short_server.address)
    assert len(raw.download(object_key)[1]) > 0
    raw.close()
    assert set(ended) <= {"RESOURCE_EXHAUSTED max_transfers", "RESOURCE_EXHAUSTED max_transfer_idle_ms"}
    assert "max_transfer_idle_ms" in str(ended)
    assert not tracebacks(short_server)


def test_a_transfer_that_stands_still_is_ended_in_words(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", settings={"max_transfer_idle_s": "1"}) as server:
        ended: list[str] = []

        async def one() -> None:
            async with aio.insecure_channel(server.address) as channel:
                await drip(ImageServiceStub(channel), ended)

        asyncio.run(one())
        assert ended == ["RESOURCE_EXHAUSTED max_transfer_idle_ms"]
        assert not list((server.data_dir / "objects" / "tmp").iterdir())
        assert not tracebacks(server)


async def files_in(folder: Path, count: int) -> None:
    """Wait until a folder holds so many files."""
    while len(list(folder.iterdir())) < count:  # noqa: ASYNC110 - another process makes them
        await asyncio.sleep(0.01)


def test_a_stop_ends_open_streams_in_words_and_leaves_nothing(store: Store, tell: Tell) -> None:
    """Uploads, streamed submits and watches are open, and some callers hang up meanwhile."""

    async def streams(server: ServerProcess) -> Counter[str]:
        ended: list[str] = []
        async with aio.insecure_channel(server.address) as channel:
            images, batches = ImageServiceStub(channel), BatchServiceStub(channel)
            options = batch_service_pb2.SubmitBatchStreamRequest(
                options=batch_service_pb2.BatchOptions(operation="thumbnail")
            )
            some = batch_service_pb2.SubmitBatchStreamRequest(
                items=batch_service_pb2.BatchImageInputs(items=[item(image_url="http://127.0.0.1:1/a.png")] * 2_000)
            )
            staged = asyncio.Barrier(6)

            async def requests() -> AsyncIterator[batch_service_pb2.SubmitBatchStreamRequest]:
                yield options
                yield some
                yield some
                await staged.wait()
                await asyncio.Event().wait()

            async def submit() -> None:
                try:
                    await batches.SubmitBatchStream(requests())
                except aio.AioRpcError as error:
                    told = refusal(error)
                    assert told.retry_delay_s is not None
                    ended.append(f"{told.code.name} {told.reason}")

            uploads = [asyncio.create_task(drip(images, ended)) for _ in range(FEW)]
            submits = [asyncio.create_task(submit()) for _ in range(5)]
            hung_up = [asyncio.create_task(drip(images, [])) for _ in range(FEW)]
            await staged.wait()
            await files_in(server.data_dir / "objects" / "tmp", 2 * FEW)
            server.terminate()
            for task in hung_up:
                task.cancel()
            await asyncio.gather(*uploads, *submits, *hung_up, return_exceptions=True)
        return Counter(ended)

    with running_server(store.data_dir, store.settings | {"stop_grace_s": "5"}) as server:
        began = time.monotonic()
        ended = asyncio.run(streams(server))
        assert server.wait() == 0
        took_s = time.monotonic() - began
    tell(f"stopped with {2 * FEW} uploads and 5 streamed submits open: {dict(ended)}, {took_s:.1f} s in all")
    assert ended == {"UNAVAILABLE DRAINING": FEW + 5}
    assert not tracebacks(server)
    assert not list((store.data_dir / "objects" / "tmp").iterdir())
    assert store.staged_batches() == 0
    with running_server(store.data_dir, store.settings):
        assert store.leftovers() == []


def test_a_reader_that_takes_nothing_holds_no_file_for_long(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", settings={"max_transfer_idle_s": "1"}) as server:
        raw = Raw(server.address)
        large = raw.upload(bytes(40 * 1024 * 1024)).object_key  # more than the windows of gRPC grow to
        stalled = [
            raw.images.DownloadImage(image_service_pb2.DownloadImageRequest(object_key=large)) for _ in range(FEW)
        ]
        for call in stalled:
            next(call)
        process = psutil.Process(server.process.pid)
        while any(large in file.path for file in process.open_files()):
            assert not server_info(raw).draining
        for call in stalled:
            told = refused(lambda call=call: list(call))  # type: ignore[misc]  # what had been sent, and then the end
            assert (told.code.name, told.metadata["limit"]) == ("RESOURCE_EXHAUSTED", "max_transfer_idle_ms")
        raw.close()
        assert not tracebacks(server)
