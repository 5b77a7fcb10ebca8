"""Calls against a scripted server: what is sent, what is repeated, and what is raised."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import Attempt, ScriptedServer, outcome, status, unavailable

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch_client import (
    AsyncBatchClient,
    BatchImageInput,
    BatchNotFoundError,
    DailyUsage,
    DeadlineExceededError,
    IncompatibleServerError,
    InvalidRequestError,
    LimitExceededError,
    NotSupportedError,
    UnavailableError,
)

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]

SUBMITTED = Attempt([types_pb2.BatchSubmissionResult(batch_id="b1", status=types_pb2.BATCH_STATUS_PENDING)])
UPLOADED = Attempt([image_service_pb2.UploadImageResponse(object_key="k1", size_bytes=3, width=0)])
MANY = 10_001  # one more than fits a SubmitBatch


def items(count: int) -> list[BatchImageInput]:
    return [BatchImageInput(object_key=f"key-{index}") for index in range(count)]


def streamed_keys(messages: list[batch_service_pb2.SubmitBatchStreamRequest]) -> list[str]:
    return [item.object_key for message in messages for item in message.items.items]


def test_a_submit_is_repeated_with_the_same_request_id(connect: Connect, serve: Serve) -> None:
    server = serve(SubmitBatch=[unavailable(), unavailable(), SUBMITTED])
    result = connect(server, token="t0ken").submit("describe", iter(items(3)), labels={"a": "b"})
    assert (result.batch_id, result.status) == ("b1", "pending")
    first, second, third = server.requests["SubmitBatch"]
    assert first == second == third
    assert [item.object_key for item in first.items] == ["key-0", "key-1", "key-2"]
    assert len(first.options.request_id) == 36
    assert server.metadata[0]["authorization"] == "Bearer t0ken"


def test_each_submit_has_a_request_id_of_its_own_unless_given(connect: Connect, serve: Serve) -> None:
    server = serve(SubmitBatch=[SUBMITTED, SUBMITTED, SUBMITTED])
    client = connect(server)
    client.submit("describe", items(1))
    client.submit("describe", items(1))
    client.submit("describe", items(1), request_id="mine")
    one, two, given = [request.options.request_id for request in server.requests["SubmitBatch"]]
    assert one != two
    assert given == "mine"


def test_a_submit_without_items_is_the_servers_to_refuse(connect: Connect, serve: Serve) -> None:
    server = serve(SubmitBatch=[Attempt(code=grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST")])
    with pytest.raises(InvalidRequestError) as caught:
        connect(server).submit("describe", [])
    assert caught.value.request_id == server.requests["SubmitBatch"][0].options.request_id


def test_errors_before_the_call_carry_the_request_id_too(connect: Connect, serve: Serve) -> None:
    with pytest.raises(InvalidRequestError, match=r"items\[1\]\.metadata\.n: 9007199254740993 is beyond") as caught:
        connect(serve()).submit("describe", [*items(1), BatchImageInput(metadata={"n": 2**53 + 1})], request_id="r")
    assert caught.value.request_id == "r"


def test_more_than_fit_one_request_are_streamed(connect: Connect, serve: Serve) -> None:
    server = serve(SubmitBatchStream=[SUBMITTED])
    assert connect(server).submit("describe", (item for item in items(MANY))).batch_id == "b1"
    (messages,) = server.requests["SubmitBatchStream"]
    assert messages[0].options.operation == "describe"
    assert streamed_keys(messages[1:]) == [f"key-{index}" for index in range(MANY)]


@pytest.mark.parametrize("count", [3, MANY])
async def test_items_may_come_asynchronously(serve: Serve, count: int) -> None:
    async def coming() -> AsyncIterator[BatchImageInput]:
        for item in items(count):
            yield item

    server = serve(SubmitBatch=[SUBMITTED], SubmitBatchStream=[SUBMITTED])
    async with AsyncBatchClient(server.address) as client:
        assert (await client.submit("describe", coming())).batch_id == "b1"
    if count == MANY:
        ((_, *messages),) = server.requests["SubmitBatchStream"]
        assert streamed_keys(messages) == [f"key-{index}" for index in range(MANY)]
    else:
        (request,) = server.requests["SubmitBatch"]
        assert [item.object_key for item in request.items] == ["key-0", "key-1", "key-2"]


def test_a_cut_stream_is_repeated_whole_if_the_items_can_be_read_again(connect: Connect, serve: Serve) -> None:
    server = serve(SubmitBatchStream=[unavailable(reads=2), SUBMITTED])
    assert connect(server).submit("describe", items(MANY)).batch_id == "b1"
    cut, whole = server.requests["SubmitBatchStream"]
    assert cut[0] == whole[0]
    assert streamed_keys(whole) == [f"key-{index}" for index in range(MANY)]


def test_a_cut_stream_of_a_generator_raises_with_the_request_id(connect: Connect, serve: Serve) -> None:
    server = serve(SubmitBatchStream=[unavailable(reads=2), SUBMITTED])
    with pytest.raises(UnavailableError) as caught:
        connect(server).submit("describe", (item for item in items(MANY)))
    ((options, _),) = server.requests["SubmitBatchStream"]
    assert caught.value.request_id == options.options.request_id


def test_a_server_that_does_not_stream_submits_says_so(connect: Connect, serve: Serve) -> None:
    refusal = Attempt(code=grpc.StatusCode.UNIMPLEMENTED, reason="NOT_SUPPORTED", message="submit fewer", reads=0)
    with pytest.raises(NotSupportedError, match="submit fewer"):
        connect(serve(SubmitBatchStream=[refusal])).submit("describe", items(3 * MANY))


def test_a_stream_may_be_answered_before_it_is_read(connect: Connect, serve: Serve) -> None:
    answer = Attempt(SUBMITTED.answers, reads=1)
    assert connect(serve(SubmitBatchStream=[answer])).submit("describe", items(5 * MANY)).batch_id == "b1"


def test_items_that_fail_while_they_are_streamed_raise_their_own_error(connect: Connect, serve: Serve) -> None:
    def failing() -> Iterator[BatchImageInput]:
        yield from items(2 * MANY)
        raise RuntimeError("the caller's database went away")

    with pytest.raises(RuntimeError, match="the caller's database went away"):
        connect(serve(SubmitBatchStream=[SUBMITTED])).submit("describe", failing())


def test_items_are_read_on_the_callers_thread(connect: Connect, serve: Serve) -> None:
    threads = set()

    def watched() -> Iterator[BatchImageInput]:
        for item in items(MANY):
            threads.add(threading.get_ident())
            yield item

    connect(serve(SubmitBatchStream=[SUBMITTED])).submit("describe", watched())
    assert threads == {threading.get_ident()}


def test_a_call_that_is_not_answered_ends_with_the_timeout(connect: Connect, serve: Serve) -> None:
    with pytest.raises(DeadlineExceededError, match=r"GetBatchStatus at .* no answer within"):
        connect(serve(GetBatchStatus=[Attempt(hangs=True)]), timeout_s=0.3).get_status("b1")


def test_a_server_that_was_never_reached_is_given_up_after_six_attempts(connect: Connect, serve: Serve) -> None:
    server = serve(GetBatchStatus=[unavailable(retry_after_s=0.01)] * 7)
    with pytest.raises(UnavailableError):
        connect(server).get_status("b1")
    assert len(server.requests["GetBatchStatus"]) == 6


def test_a_server_that_was_reached_is_waited_for_while_it_restarts(connect: Connect, serve: Serve) -> None:
    server = serve(GetBatchStatus=[Attempt([status()])], CancelBatch=[*[unavailable()] * 5, Attempt([status()])])
    client = connect(server)
    client.get_status("b1")
    assert client.cancel("b1").status == "completed"


def test_a_full_server_is_asked_again_when_it_says_when(connect: Connect, serve: Serve) -> None:
    full = Attempt(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED", retry_after_s=0.05)
    assert connect(serve(SubmitBatch=[full, SUBMITTED])).submit("describe", items(1)).batch_id == "b1"
    never = Attempt(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED")
    server = serve(SubmitBatch=[never, SUBMITTED])
    with pytest.raises(LimitExceededError):
        connect(server).submit("describe", items(1))
    assert len(server.requests["SubmitBatch"]) == 1


def test_deleting_what_an_unanswered_attempt_deleted_is_done(connect: Connect, serve: Serve) -> None:
    gone = Attempt(code=grpc.StatusCode.NOT_FOUND, reason="BATCH_NOT_FOUND")
    connect(serve(DeleteBatch=[unavailable(), gone])).delete("b1")
    with pytest.raises(BatchNotFoundError):
        connect(serve(DeleteBatch=[gone])).delete("b1")


def test_usage_is_asked_for_by_days(connect: Connect, serve: Serve) -> None:
    used = batch_service_pb2.DailyUsage(day="2026-01-31", operation="describe", items=3, image_bytes=2**40)
    server = serve(GetUsage=[Attempt([batch_service_pb2.GetUsageResponse(usage=[used])])] * 2)
    client = connect(server)
    expected = [DailyUsage("2026-01-31", "describe", 3, 0, 2**40, 0, 0)]
    assert client.get_usage(date(2026, 1, 31), "2026-02-01") == client.get_usage() == expected
    first, second = server.requests["GetUsage"]
    assert (first.day_from, first.day_before) == ("2026-01-31", "2026-02-01")
    assert not second.ListFields()


def test_deleting_a_tenant_is_repeated_while_the_server_is_away(connect: Connect, serve: Serve) -> None:
    server = serve(DeleteTenant=[unavailable(), Attempt([batch_service_pb2.DeleteTenantResponse()])])
    connect(server).delete_tenant("acme")
    assert [request.tenant for request in server.requests["DeleteTenant"]] == ["acme", "acme"]


def page(indexes: list[int], offset: int, total: int) -> Attempt:
    message = types_pb2.BatchResults(
        batch_id="b1",
        status=types_pb2.BATCH_STATUS_COMPLETED,
        results=[outcome(index + 1) for index in indexes],
        pagination=types_pb2.BatchResultsPagination(
            offset=offset, limit=3, total=total, has_more=offset + len(indexes) < total
        ),
    )
    return Attempt([message])


def test_all_results_are_walked_by_what_came(connect: Connect, serve: Serve) -> None:
    server = serve(GetBatchResults=[page([0, 1, 2], 0, 6), unavailable(), page([3], 3, 6), page([4, 5], 4, 6)])
    results = list(connect(server).get_all_results("b1", page_size=3))
    assert [result.item_index for result in results] == [0, 1, 2, 3, 4, 5]
    assert [(request.offset, request.limit) for request in server.requests["GetBatchResults"]] == [
        *((0, 3), (3, 3), (3, 3), (4, 3))
    ]


def test_batches_are_listed_over_all_pages(connect: Connect, serve: Serve) -> None:
    def batches(ids: list[str], token: str) -> Attempt:
        listed = [status(each) for each in ids]
        return Attempt([batch_service_pb2.ListBatchesResponse(batches=listed, next_page_token=token)])

    server = serve(ListBatches=[batches(["b3", "b2"], "t1"), batches([], "t2"), batches(["b1"], "")])
    listed = connect(server).list_batches(operation="describe", page_size=2)
    assert [batch.batch_id for batch in listed] == ["b3", "b2", "b1"]
    assert [request.page_token for request in server.requests["ListBatches"]] == ["", "t1", "t2"]
    assert {request.operation for request in server.requests["ListBatches"]} == {"describe"}


def test_an_upload_sends_hints_and_chunks_and_is_repeated(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(bytes(600_000))
    server = serve(UploadImage=[unavailable(reads=1), UPLOADED])
    uploaded = connect(server).upload_image(path)
    assert (uploaded.object_key, uploaded.width, uploaded.height, uploaded.format) == ("k1", 0, None, None)
    header, *chunks = server.requests["UploadImage"][1]
    assert (header.header.file_name, header.header.content_type) == ("cat.png", "image/png")
    assert max(len(chunk.chunk) for chunk in chunks) <= 2**20
    assert b"".join(chunk.chunk for chunk in chunks) == path.read_bytes()


@pytest.mark.parametrize("image", [b"", io.BytesIO(b"")])
def test_an_empty_upload_is_a_header_alone(connect: Connect, serve: Serve, image: Any) -> None:
    server = serve(UploadImage=[UPLOADED])
    connect(server).upload_image(image, file_name="empty.jpg")
    (messages,) = server.requests["UploadImage"]
    assert [message.WhichOneof("payload") for message in messages] == ["header"]


def test_an_upload_that_is_refused_half_way_raises_why(connect: Connect, serve: Serve) -> None:
    refusal = Attempt(
        code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED", message="larger than 50 MiB", reads=3
    )
    with pytest.raises(LimitExceededError, match="larger than 50 MiB"):
        connect(serve(UploadImage=[refusal])).upload_image(bytes(20_000_000))


def test_a_file_that_is_not_there_is_pythons_error(connect: Connect, serve: Serve, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(serve()).upload_image(tmp_path / "none.jpg")


def test_a_download_is_repeated_from_its_beginning(connect: Connect, serve: Serve) -> None:
    content = b"abcdef"
    header = image_service_pb2.DownloadImageResponse(
        header=image_service_pb2.DownloadImageHeader(sha256=hashlib.sha256(content).hexdigest(), size_bytes=6)
    )
    half, other = (image_service_pb2.DownloadImageResponse(chunk=chunk) for chunk in (b"abc", b"def"))
    server = serve(DownloadImage=[unavailable(answers=[header, half]), Attempt([header, half, other])])
    assert connect(server).download_image("k1").content == content


def test_operations_and_the_servers_state(connect: Connect, serve: Serve) -> None:
    operation = batch_service_pb2.Operation(name="describe", version="2", description="Describes.")
    operation.parameters_schema.fields["type"].string_value = "object"
    info = batch_service_pb2.GetServerInfoResponse(
        version="0.1.0",
        limits=batch_service_pb2.ServerLimits(max_items_per_submit=10_000),
        workers=batch_service_pb2.WorkerInfo(alive=2, restarted=1),
    )
    client = connect(
        serve(
            ListOperations=[Attempt([batch_service_pb2.ListOperationsResponse(operations=[operation])])],
            GetServerInfo=[Attempt([info])],
        )
    )
    (listed,) = client.list_operations()
    assert (listed.name, listed.parameters_schema, listed.output_schema) == ("describe", {"type": "object"}, None)
    answered = client.server_info()
    assert (answered.limits.max_items_per_submit, answered.workers.alive, answered.draining) == (10_000, 2, False)


def info(*features: str) -> Attempt:
    return Attempt([batch_service_pb2.GetServerInfoResponse(features=features)])


ALL_OF_RETRY = ("retry_item_ids", "retry_request_id")


def test_cancel_and_retry_are_repeated(connect: Connect, serve: Serve) -> None:
    server = serve(
        CancelBatch=[unavailable(), Attempt([status(value="PROCESSING")])],
        GetServerInfo=[info(*ALL_OF_RETRY)],
        RetryBatch=[unavailable(), Attempt([status(value="PROCESSING")])],
    )
    client = connect(server)
    assert client.cancel("b1").status == "processing"
    assert client.retry("b1", ["timeout"]).status == "processing"
    first, second = server.requests["RetryBatch"]
    assert first == second, "a repeat has the request_id of the first"
    assert first.request_id
    assert list(first.item_ids) == []


def test_a_retry_of_named_items_under_an_own_id(connect: Connect, serve: Serve) -> None:
    server = serve(GetServerInfo=[info(*ALL_OF_RETRY)], RetryBatch=[Attempt([status(value="PROCESSING")])])
    connect(server).retry("b1", item_ids=["cat", "dog"], request_id="mine")
    (request,) = server.requests["RetryBatch"]
    assert (list(request.item_ids), request.request_id) == (["cat", "dog"], "mine")


def test_what_an_old_server_would_overlook_is_not_sent(connect: Connect, serve: Serve) -> None:
    server = serve(GetServerInfo=[info(), info(), info()], RetryBatch=[Attempt([status(value="PROCESSING")])])
    client = connect(server)
    with pytest.raises(NotSupportedError, match=r"item_ids: .*retry_item_ids.*upgrade the server"):
        client.retry("b1", item_ids=["cat"])
    with pytest.raises(NotSupportedError, match=r"request_id: .*retry_request_id") as raised:
        client.retry("b1", request_id="mine")
    assert raised.value.request_id == "mine"
    assert not server.requests["RetryBatch"]
    client.retry("b1", ["timeout"])
    (request,) = server.requests["RetryBatch"]
    assert not request.HasField("request_id")


def test_a_status_of_a_newer_server_is_a_clear_error(connect: Connect, serve: Serve) -> None:
    newer = types_pb2.BatchStatusResult(status=42)  # type: ignore[arg-type]
    with pytest.raises(IncompatibleServerError, match="status: the server answered 42"):
        connect(serve(GetBatchStatus=[Attempt([newer])])).get_status("b1")


def test_a_retry_of_a_cluster_and_a_search_need_a_server_that_knows_them(connect: Connect, serve: Serve) -> None:
    known = (*ALL_OF_RETRY, "failure_clusters", "search_results")
    page = types_pb2.BatchResults(batch_id="b1", status=types_pb2.BATCH_STATUS_FAILED)
    server = serve(
        GetServerInfo=[info(*known)] * 3, RetryBatch=[Attempt([status()])], GetBatchResults=[Attempt([page])] * 3
    )
    client = connect(server)
    client.retry("b1", cluster_id="c1")
    client.get_results("b1", error_codes=["timeout"], text="red car")
    client.get_results("b1")
    assert list(client.get_all_results("b1", text="x")) == []
    assert server.requests["RetryBatch"][0].cluster_id == "c1"
    first, second, third = server.requests["GetBatchResults"]
    assert (list(first.error_codes), first.text) == ([7], "red car")
    assert not second.HasField("text")
    assert third.text == "x"

    older = connect(serve(GetServerInfo=[info(*ALL_OF_RETRY)] * 3))
    with pytest.raises(NotSupportedError, match=r"cluster_id: .*failure_clusters.*upgrade the server"):
        older.retry("b1", cluster_id="c1")
    with pytest.raises(NotSupportedError, match=r"error_codes: .*search_results"):
        older.get_results("b1", error_codes=["timeout"])
    with pytest.raises(NotSupportedError, match=r"text: .*search_results"):
        older.get_results("b1", text="red car")
