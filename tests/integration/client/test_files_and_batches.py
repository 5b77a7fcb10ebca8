"""Files by the library, and batches that know their id, of both clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import BATCH_ID, Attempt, ScriptedServer, outcome, status, watch_from
from tests.integration.client.test_submitting import INFO, SUBMITTED, Store

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import AsyncBatchClient, BatchClient, InvalidRequestError, LimitExceededError, UploadProgress

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "a cat.jpg", tmp_path / "b.png", tmp_path / "copy.jpg"]
    for path, content in zip(made, (b"a" * 300_000, b"b", b"a" * 300_000), strict=True):
        path.write_bytes(content)
    return made


def test_files_are_submitted_with_their_names(connect: Connect, serve: Serve, files: list[Path]) -> None:
    store = Store()
    server = serve(GetServerInfo=[INFO], UploadImage=[Attempt(store)] * 5, SubmitBatch=[SUBMITTED])
    seen: list[UploadProgress] = []
    client = connect(server)
    batch = client.submit_files("thumbnail", files, on_upload=seen.append, labels={"a": "b"}, priority=7)
    assert batch.batch_id == BATCH_ID
    (request,) = server.requests["SubmitBatch"]
    assert [item.item_id for item in request.items] == ["a_cat.jpg", "b.png", "copy.jpg"]
    assert request.items[0].object_key == request.items[2].object_key
    assert request.items[0].metadata["file_name"] == "a cat.jpg"
    assert (dict(request.options.labels), request.options.priority) == ({"a": "b"}, 7)
    assert sorted(map(len, store.sent)) == [1, 300_000]
    assert [(progress.files, progress.total_files) for progress in seen] == [(1, 3), (2, 3), (3, 3)]
    assert (seen[-1].size_bytes, seen[-1].total_bytes) == (600_001, 600_001)


def test_files_that_can_not_be_sent_are_all_named_first(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(10**6 + 1))
    server = serve(GetServerInfo=[INFO])
    with pytest.raises(InvalidRequestError) as caught:
        connect(server).upload_files([tmp_path / "large.jpg", tmp_path / "none.jpg", tmp_path])
    told = [violation.description for violation in caught.value.violations]
    assert [text.removeprefix(str(tmp_path)) for text in told] == [
        "/large.jpg has 1,000,001 bytes; the server takes 1,000,000: make it smaller",
        "/none.jpg can't be read: No such file or directory",
        " is a folder; give the files in it",
    ]
    assert server.requests["UploadImage"] == []


@pytest.mark.parametrize("paths", [3, "a.jpg", [3], [b"a.jpg"]], ids=str)
def test_paths_of_the_wrong_kind_are_refused(connect: Connect, serve: Serve, paths: Any) -> None:
    with pytest.raises(InvalidRequestError, match="paths"):
        connect(serve()).upload_files(paths)


def test_the_first_error_of_an_upload_names_its_file(connect: Connect, serve: Serve, files: list[Path]) -> None:
    refusal = Attempt(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED", message="the disk is full")
    server = serve(GetServerInfo=[INFO], UploadImage=[refusal])
    with pytest.raises(LimitExceededError, match=r"b\.png: the disk is full"):
        connect(server).upload_files(files[1:2])


def test_a_file_that_vanishes_meanwhile_is_named(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    files = [tmp_path / f"{number:02}.jpg" for number in range(20)]
    for file in files:
        file.write_bytes(file.name.encode())

    def tidied_up(messages: Any) -> Any:
        files[-1].unlink(missing_ok=True)
        yield from Store()(messages)

    server = serve(GetServerInfo=[INFO], UploadImage=[Attempt(tidied_up)] * 20)
    with pytest.raises(
        InvalidRequestError, match=r"PATH: .*/19\.jpg can't be read any more: No such file or directory"
    ):
        connect(server).upload_files(files)


def script() -> dict[str, list[Attempt]]:
    page = types_pb2.BatchResults(status=types_pb2.BATCH_STATUS_COMPLETED, results=[outcome(1)])
    return {
        "GetBatchStatus": [Attempt([status()])] * 2,
        "GetBatchResults": [Attempt([page])],
        "WatchBatch": [Attempt(watch_from(3)), Attempt(watch_from(3))],
        "CancelBatch": [Attempt([status()])],
        "PauseBatch": [Attempt([status()])],
        "ResumeBatch": [Attempt([status()])],
        "UpdateBatch": [Attempt([status()])],
        "GetServerInfo": [INFO],
        "RetryBatch": [Attempt([status()])],
        "DeleteBatch": [Attempt([batch_service_pb2.DeleteBatchResponse()])],
    }


def ids_asked_for(server: ScriptedServer) -> set[str]:
    del server.requests["GetServerInfo"]
    return {request.batch_id for requests in server.requests.values() for request in requests}


def test_a_batch_knows_its_id(serve: Serve) -> None:
    server = serve(**script())
    with BatchClient(server.address) as client:
        batch = client.batch(BATCH_ID)
        assert repr(batch) == f"Batch('{BATCH_ID}')"
        assert [result.item_index for result in batch.results()] == [0]
        assert [result.sequence for result in batch.watch(after_sequence=1)] == [2, 3]
        answered = [batch.get_status(), batch.wait(timeout=30), batch.cancel(), batch.retry()]
        answered += [batch.pause(), batch.resume(), batch.update(priority=1, labels={})]
        assert [each.batch_id for each in answered] == [BATCH_ID] * 7
        batch.delete()
    assert {
        request.batch_id for rpc, requests in server.requests.items() if rpc != "GetServerInfo" for request in requests
    } == {BATCH_ID}


async def test_an_asynchronous_batch_knows_its_id(serve: Serve) -> None:
    server = serve(**script())
    async with AsyncBatchClient(server.address) as client:
        batch = client.batch(BATCH_ID)
        assert repr(batch) == f"AsyncBatch('{BATCH_ID}')"
        assert [result.item_index async for result in batch.results()] == [0]
        assert [result.sequence async for result in batch.watch(after_sequence=1)] == [2, 3]
        answered = [await batch.get_status(), await batch.wait(timeout=30), await batch.cancel(), await batch.retry()]
        answered += [await batch.pause(), await batch.resume(), await batch.update(priority=1, labels={})]
        assert [each.batch_id for each in answered] == [BATCH_ID] * 7
        await batch.delete()
    assert {
        request.batch_id for rpc, requests in server.requests.items() if rpc != "GetServerInfo" for request in requests
    } == {BATCH_ID}
