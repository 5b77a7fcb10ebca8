"""What callers get wrong, and clients that are closed: always an ImagebatchError that names the argument."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from tests.integration.client.scripted import Attempt, ScriptedServer, outcome, status, watch_from

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import (
    AsyncBatchClient,
    BatchClient,
    BatchImageInput,
    ClientClosedError,
    ConnectionSettings,
    ImagebatchError,
    InvalidRequestError,
)

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]
URL = BatchImageInput(image_url="https://example.com/cat.jpg")
ID = UUID("01931c0e-7d2a-7cc3-98c4-dc0c0c073980")
SUBMITTED = Attempt([types_pb2.BatchSubmissionResult(batch_id="b1", status=types_pb2.BATCH_STATUS_PENDING)])

MISUSES: dict[str, Callable[[Any], Any]] = {
    "batch_id: a number": lambda client: client.get_status(3),
    "batch_id: None": lambda client: client.cancel(None),
    "batch_id: bytes": lambda client: client.delete(b"b1"),
    "batch_id: lone surrogate": lambda client: client.get_status("\ud800"),
    "batch_id of pages": lambda client: list(client.get_all_results(object())),
    "batch_id of a watch": lambda client: list(client.watch(3)),
    "batch_id of a wait": lambda client: client.wait_for_completion(3),
    "operation": lambda client: client.submit(3, [URL]),
    "items: a number": lambda client: client.submit("describe", 3),
    "items: None": lambda client: client.submit("describe", None),
    "items: a string": lambda client: client.submit("describe", "https://example.com/cat.jpg"),
    "items: of strings": lambda client: client.submit("describe", ["https://example.com/cat.jpg"]),
    "item_id": lambda client: client.submit("describe", [BatchImageInput(image_url="http://x", item_id=3)]),  # type: ignore[arg-type]
    "parameters": lambda client: client.submit("describe", [URL], parameters=[1]),
    "labels": lambda client: client.submit("describe", [URL], labels=["a=b"]),
    "request_id: empty": lambda client: client.submit("describe", [URL], request_id=""),
    "request_id: a number": lambda client: client.submit("describe", [URL], request_id=5),
    "item_timeout": lambda client: client.submit("describe", [URL], item_timeout="2m"),
    "skip_duplicates": lambda client: client.submit("describe", [URL], skip_duplicates="no"),
    "statuses: one alone": lambda client: client.get_results("b1", statuses="failed"),
    "statuses: a number": lambda client: list(client.watch("b1", statuses=5)),
    "statuses of all pages": lambda client: list(client.get_all_results("b1", statuses=None)),
    "statuses of all pages: a string": lambda client: list(client.get_all_results("b1", statuses="failed")),
    "include_failed": lambda client: client.get_results("b1", include_failed="no"),
    "include_failed of all pages": lambda client: list(client.get_all_results("b1", include_failed=None)),
    "limit: a switch": lambda client: client.get_results("b1", limit=True),
    "offset: a switch": lambda client: list(client.get_all_results("b1", offset=False)),
    "after_sequence: a switch": lambda client: list(client.watch("b1", after_sequence=True)),
    "page_size of batches: a switch": lambda client: list(client.list_batches(page_size=True)),
    "priority: a switch": lambda client: client.submit("describe", [URL], priority=True),
    "canary: a fraction": lambda client: client.submit("describe", [URL], canary=1.5),
    "max_attempts: a string": lambda client: client.submit("describe", [URL], max_attempts="3"),
    "item_timeout: a switch": lambda client: client.submit("describe", [URL], item_timeout=True),
    "failure_limit: a switch": lambda client: client.submit("describe", [URL], failure_limit=True),
    "item_ids": lambda client: client.get_results("b1", item_ids=[1]),
    "error_codes": lambda client: client.retry("b1", "timeout"),
    "offset": lambda client: client.get_results("b1", offset="1"),
    "page_size": lambda client: list(client.get_all_results("b1", page_size="many")),
    "after_sequence": lambda client: list(client.watch("b1", after_sequence="1")),
    "day_from: a time": lambda client: client.get_usage(datetime(2026, 1, 31, tzinfo=UTC)),
    "day_before: a number": lambda client: client.get_usage(day_before=3),
    "tenant": lambda client: client.delete_tenant(3),
    "timeout of a watch": lambda client: list(client.watch("b1", timeout="1")),
    "timeout": lambda client: client.wait_for_completion("b1", timeout="1"),
    "timeout: not a number": lambda client: client.wait_for_completion("b1", timeout=float("nan")),
    "on_progress": lambda client: client.wait_for_completion("b1", on_progress=3),
    "created_after: a string": lambda client: list(client.list_batches(created_after="2026-01-02")),
    "created_after: without zone": lambda client: list(client.list_batches(created_after=datetime(2026, 1, 2))),  # noqa: DTZ001
    "image: a number": lambda client: client.upload_image(3),
    "image: None": lambda client: client.upload_image(None),
    "image: a path with NUL": lambda client: client.upload_image("a\0b.jpg"),
    "image: a text file": lambda client: client.upload_image(io.StringIO("abc")),
    "image: a path that no disk has": lambda client: client.upload_image("\ud800.jpg"),
    "content_type: lone surrogate": lambda client: client.upload_image(b"", content_type="\ud800"),
    "file_name": lambda client: client.upload_image(b"", file_name=3),
    "object_key": lambda client: client.download_image(3),
}


@pytest.mark.parametrize("misuse", MISUSES.values(), ids=MISUSES)
def test_an_argument_of_the_wrong_kind_is_an_invalid_request(
    connect: Connect, serve: Serve, misuse: Callable[[Any], Any]
) -> None:
    server = serve(UploadImage=[Attempt()])
    with pytest.raises(InvalidRequestError) as caught:
        misuse(connect(server))
    assert caught.value.violations[0].field
    assert set(server.requests) <= {"UploadImage"}


@pytest.mark.parametrize(
    "settings",
    [
        {"address": 3},
        {"token": "a\nb"},
        {"token": "schlüssel"},
        {"tls": "yes"},
        {"tls_ca": 3},
        {"timeout_s": "30"},
        {"timeout_s": 0},
        {"silence_s": float("nan")},
        {"reconnect_for_s": float("inf")},
    ],
    ids=str,
)
def test_settings_of_the_wrong_kind_are_refused_when_they_are_made(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ConnectionSettings(**settings)
    assert caught.value.violations[0].field == next(iter(settings))


@pytest.mark.parametrize("kind", [BatchClient, AsyncBatchClient])
def test_a_server_of_the_wrong_kind_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidRequestError, match="server: is int; give an address"):
        kind(50051)


def test_ids_may_be_uuids(connect: Connect, serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status()])], SubmitBatch=[SUBMITTED], WatchBatch=[Attempt(watch_from(1))])
    client = connect(server)
    client.get_status(ID)
    client.submit("describe", [BatchImageInput(image_url="http://x", item_id=ID)], request_id=ID)  # type: ignore[arg-type]
    list(client.watch(ID))
    assert server.requests["GetBatchStatus"][0].batch_id == server.requests["WatchBatch"][0].batch_id == str(ID)
    (request,) = server.requests["SubmitBatch"]
    assert request.options.request_id == request.items[0].item_id == str(ID)


CALLS: dict[str, Callable[[Any], Any]] = {
    "submit": lambda client: client.submit("describe", [URL]),
    "streamed submit": lambda client: client.submit("describe", [URL] * 10_001),
    "get_status": lambda client: client.get_status("b1"),
    "get_results": lambda client: client.get_results("b1"),
    "get_all_results": lambda client: next(iter(client.get_all_results("b1"))),
    "watch": lambda client: next(iter(client.watch("b1"))),
    "wait_for_completion": lambda client: client.wait_for_completion("b1"),
    "wait_for_completion, looking once": lambda client: client.wait_for_completion("b1", timeout=0),
    "cancel": lambda client: client.cancel("b1"),
    "pause": lambda client: client.pause("b1"),
    "resume": lambda client: client.resume("b1"),
    "update": lambda client: client.update("b1", priority=1),
    "retry": lambda client: client.retry("b1"),
    "list_failure_clusters": lambda client: next(iter(client.list_failure_clusters("b1"))),
    "list_batches": lambda client: next(iter(client.list_batches())),
    "delete": lambda client: client.delete("b1"),
    "upload_image": lambda client: client.upload_image(b"abc"),
    "download_image": lambda client: client.download_image("k1"),
    "list_operations": lambda client: client.list_operations(),
    "server_info": lambda client: client.server_info(),
    "get_usage": lambda client: client.get_usage(),
    "delete_tenant": lambda client: client.delete_tenant("acme"),
}


@pytest.mark.parametrize("was_used", [False, True])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_closed_client_says_so(connect: Connect, serve: Serve, call: Callable[[Any], Any], was_used: bool) -> None:
    client = connect(serve(GetBatchStatus=[Attempt([status()])]))
    if was_used:
        client.get_status("b1")
    client.close_only()
    with pytest.raises(ClientClosedError, match="this client is closed; make another one"):
        call(client)


BEGUN: dict[str, Callable[[Any], Any]] = {
    "get_all_results": lambda client: client.get_all_results("b1", page_size=1),
    "list_batches": lambda client: client.list_batches(page_size=1),
    "watch": lambda client: client.watch("b1"),
    "watch_updates": lambda client: client.watch_updates("b1"),
}


@pytest.mark.parametrize("begin", BEGUN.values(), ids=BEGUN)
def test_what_was_begun_says_that_its_client_is_closed(
    connect: Connect, serve: Serve, begin: Callable[[Any], Any]
) -> None:
    pagination = types_pb2.BatchResultsPagination(total=2, has_more=True)
    page = types_pb2.BatchResults(status=types_pb2.BATCH_STATUS_COMPLETED, results=[outcome(1)], pagination=pagination)
    batches = batch_service_pb2.ListBatchesResponse(batches=[status()], next_page_token="more")
    server = serve(
        GetBatchResults=[Attempt([page])] * 2,
        ListBatches=[Attempt([batches])] * 2,
        WatchBatch=[Attempt(watch_from(3, cut_after=1), hangs=True)],
    )
    client = connect(server)
    begun = iter(begin(client))
    next(begun)
    client.close_only()
    with pytest.raises(ClientClosedError, match="this client is closed; make another one"):
        next(begun)


@pytest.mark.parametrize("rpc", ["GetBatchStatus", "WatchBatch", "UploadImage", "DownloadImage"])
def test_closing_ends_what_waits_in_another_task(serve: Serve, rpc: str) -> None:
    server = serve(**{rpc: [Attempt(hangs=True, reads=1)]})

    async def close_under_way() -> None:
        client = AsyncBatchClient(server.address)
        calls: dict[str, Callable[[], Any]] = {
            "GetBatchStatus": lambda: client.get_status("b1"),
            "WatchBatch": lambda: anext(client.watch("b1")),
            "UploadImage": lambda: client.upload_image(bytes(3_000_000)),
            "DownloadImage": lambda: client.download_image("k1"),
        }
        waiting = asyncio.ensure_future(calls[rpc]())
        assert await asyncio.to_thread(server.began.wait, 10)
        await client.close()
        with pytest.raises(ClientClosedError):
            await waiting

    asyncio.run(close_under_way())


def test_a_task_that_is_cancelled_while_its_client_closes_is_cancelled(serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt(hangs=True)])

    async def cancel_and_close() -> None:
        client = AsyncBatchClient(server.address)
        waiting = asyncio.ensure_future(client.get_status("b1"))
        assert await asyncio.to_thread(server.began.wait, 10)
        waiting.cancel()
        await client.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(cancel_and_close())


def test_an_asynchronous_client_is_made_before_its_loop_and_may_outlive_it(serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status("b1")]), Attempt([status("b2")])])
    client = AsyncBatchClient(server.address)
    assert asyncio.run(client.get_status("b1")).batch_id == "b1"
    assert asyncio.run(client.get_status("b2")).batch_id == "b2"
    asyncio.run(client.close())


def test_aware_times_are_sent(connect: Connect, serve: Serve) -> None:
    server = serve()
    with pytest.raises(ImagebatchError, match="ListBatches"):
        list(connect(server).list_batches(created_after=datetime(2026, 1, 2, tzinfo=UTC)))
    assert server.requests["ListBatches"][0].created_after.ToJsonString() == "2026-01-02T00:00:00Z"
