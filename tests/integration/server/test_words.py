"""The .proto's words and the server's answers: every field of a request, every error of an rpc, by what is said of it.

A field or an error that is added without a line here fails the tests of completeness; so does one whose words change.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from tests.integration.server import pictures, words
from tests.integration.server.calls import Raw, Refusal, item, plain, refusal, refused, upload_messages

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch.v1 import image_service_pb2 as images
from imagebatch.v1 import types_pb2 as types

MIB = 1024 * 1024
UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"
UUIDS: dict[str, Any] = {
    "good": [UNKNOWN, UNKNOWN.upper()],
    "bad": ["", "mine", UNKNOWN + "0", UNKNOWN.replace("-", "")],
}


TODAY = datetime.now(UTC).date()
DAYS_THAT_ARE_NONE = ["", "today", "2026-1-31", "2026-02-30", "2026-13-01", "2026-01-31T00:00:00Z"]


def struct(**values: Any) -> Struct:
    made = Struct()
    made.update(values)
    return made


def mask(*paths: str) -> FieldMask:
    return FieldMask(paths=paths)


def no_kind() -> Struct:
    made = Struct()
    made.fields["k"].SetInParent()
    return made


def nested(levels: int) -> Struct:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"k": value}
    return struct(**value)


@dataclass(frozen=True)
class Field:
    """Words of its comment, values that they allow, and values that they don't."""

    words: tuple[str, ...]
    good: tuple[Any, ...] = ()
    bad: tuple[Any, ...] = ()


def stated(*said: str, good: Any = (), bad: Any = ()) -> Field:
    return Field(said, tuple(good), tuple(bad))


FIELDS = {
    "BatchOptions.operation": stated("Required, 1 to 128 characters", good=["noop"], bad=["", "x" * 129]),
    "BatchOptions.parameters": stated(
        "At most 64 KiB serialised and 30 levels deep; numbers are finite, and every Value has a kind",
        good=[struct(word="x" * 65_000)],
        bad=[struct(word="x" * 65_536), nested(31), struct(word=float("nan")), no_kind()],
    ),
    "BatchOptions.request_id": stated("1 to 128 characters", good=["x", "ä" * 128], bad=["", "x" * 129]),
    "BatchOptions.labels": stated(
        "at most 16; keys of 1 to 63 characters, values of at most 256",
        good=[{str(n): "" for n in range(16)}, {"k" * 63: "v" * 256}],
        bad=[{str(n): "" for n in range(17)}, {"": "v"}, {"k" * 64: "v"}, {"k": "v" * 257}],
    ),
    "BatchOptions.priority": stated("1 (lowest) to 10; absent = 5", good=[1, 10], bad=[0, 11, -1]),
    "BatchOptions.skip_duplicates": stated("run once", good=[False, True]),
    "BatchOptions.item_timeout": stated(
        "0.1 s to 1 h; absent = 60 s",
        good=[Duration(nanos=100_000_000), Duration(seconds=3_600)],
        bad=[Duration(nanos=99_999_999), Duration(seconds=3_600, nanos=1), Duration(seconds=1, nanos=-1)],
    ),
    "BatchOptions.max_attempts": stated("1 to 10; absent = 3", good=[1, 10], bad=[0, 11]),
    "BatchOptions.canary": stated("1 to 1,000; absent = none", good=[1, 1_000], bad=[0, 1_001]),
    "BatchOptions.failure_limit": stated(
        "above 0 to 1", good=[1e-9, 1.0], bad=[0.0, 1.000001, -0.1, float("nan"), float("inf")]
    ),
    "BatchOptions.output_prefix": stated(
        "of 1 to 1,024 characters", good=["s3://bucket/results"], bad=["", "s3://" + "x" * 1_020]
    ),
    "BatchOptions.notify_url": stated(
        "an https URL of 1 to 2,048 characters",
        good=["https://a", "HTTP://a/" + "b" * 2_039],
        bad=["", "a/b", "ftp://a", "https://a/" + "b" * 2_039],
    ),
    "BatchImageInputs.items": stated("at least one", good=[[item(object_key="k")]], bad=[[]]),
    "SubmitBatchRequest.options": stated("Required", good=[batches.BatchOptions(operation="noop")], bad=[None]),
    "SubmitBatchRequest.items": stated(
        "at least one and at most `max_items_per_submit`",
        good=[[item(object_key="k")]],
        bad=[[], [item(object_key="k")] * 10_001],
    ),
    "SubmitBatchStreamRequest.options": stated("First, and once"),
    "SubmitBatchStreamRequest.items": stated("The next items"),
    "BatchImageInput.image_url": stated(
        "An http or https URL, at most 8,192 characters",
        good=["http://a", "HTTPS://a/" + "b" * 8_182],
        bad=["", "a/b.jpg", "ftp://a", "file:///a", "https://a/" + "b" * 8_183],
    ),
    "BatchImageInput.image_base64": stated(
        "A data URL, `data:image/<type>;base64,<data>`; `image/<type>` has at most 255 characters",
        "base64 with the standard alphabet and padding",
        good=["data:image/png;base64,AA==", f"data:image/{'x' * 249};base64,"],
        bad=[
            "",
            "AA==",
            f"data:image/{'x' * 250};base64,",
            "data:image/png;base64,AA",
            "data:image/png;base64,A-==",
            "data:text/plain;base64,AA==",
            "data:image/png,AA==",
            "data:image/png;base64,?",
        ],
    ),
    "BatchImageInput.object_key": stated("1 to 255 characters", good=["k", "ä" * 255], bad=["", "k" * 256]),
    "BatchImageInput.metadata": stated(
        "At most 8 KiB serialised and 30 levels deep; numbers are finite, and every Value has a kind",
        good=[struct(k="x" * 8_170), nested(30)],
        bad=[struct(k="x" * 8_192), nested(31), struct(k=float("inf")), no_kind()],
    ),
    "BatchImageInput.item_id": stated(
        "1 to 128 characters of `A-Z a-z 0-9 _ . : / -`",
        good=["a", "AZaz09_.:/-", "x" * 128],
        bad=["", "x" * 129, "a b", "é", "a\n"],
    ),
    "GetBatchStatusRequest.batch_id": stated("a UUID", **UUIDS),
    "GetBatchResultsRequest.batch_id": stated("a UUID", **UUIDS),
    "GetBatchResultsRequest.offset": stated("0 or more", good=[0, 2**31 - 1], bad=[-1]),
    "GetBatchResultsRequest.limit": stated("1 to 1,000; absent or 0 = 100", good=[0, 1, 1_000], bad=[-1, 1_001]),
    "GetBatchResultsRequest.include_failed": stated("absent = true", good=[False, True]),
    "GetBatchResultsRequest.statuses": stated(
        "PENDING means every item without an outcome; PROCESSING can't be asked for",
        good=[[], [1, 3, 4, 5]],
        bad=[[0], [2], [6]],
    ),
    "GetBatchResultsRequest.item_ids": stated(
        "at most 1,000 of 1 to 128 characters", good=[[], ["x" * 128] * 1_000], bad=[[""], ["x" * 129], ["x"] * 1_001]
    ),
    "GetBatchResultsRequest.error_codes": stated("empty = any", good=[[], list(range(1, 14))], bad=[[0], [99]]),
    "GetBatchResultsRequest.text": stated("of 1 to 256 characters", good=["x", "ä" * 256], bad=["", "x" * 257]),
    "WatchBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "WatchBatchRequest.after_sequence": stated("0 = from the first outcome", good=[0, 2**62], bad=[-1]),
    "WatchBatchRequest.statuses": stated("SUCCESS, FAILED or SKIPPED", good=[[3, 4, 5]], bad=[[0], [1], [2], [9]]),
    "CancelBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "PauseBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "ResumeBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "UpdateBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "UpdateBatchRequest.update_mask": stated(
        "`priority`, `labels` or both",
        "Required",
        good=[mask("priority"), mask("labels"), mask("labels", "priority")],
        bad=[None, mask(), mask("operation"), mask("priority", "labels.run"), mask("*"), mask("")],
    ),
    "UpdateBatchRequest.priority": stated("1 (lowest) to 10; absent = 5", good=[1, 10, None], bad=[0, 11, -1]),
    "UpdateBatchRequest.labels": stated(
        "at most 16; keys of 1 to 63 characters, values of at most 256",
        good=[{}, {str(n): "" for n in range(16)}, {"k" * 63: "v" * 256}],
        bad=[{str(n): "" for n in range(17)}, {"": "v"}, {"k" * 64: "v"}, {"k": "v" * 257}],
    ),
    "RetryBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "RetryBatchRequest.error_codes": stated(
        "DUPLICATE and CANCELLED can't be retried", good=[list(range(1, 11)), [13]], bad=[[0], [11], [12], [99]]
    ),
    "RetryBatchRequest.item_ids": stated(
        "at most 1,000 of 1 to 128 characters", good=[["x" * 128] * 1_000], bad=[[""], ["x" * 129], ["x"] * 1_001]
    ),
    "RetryBatchRequest.request_id": stated("1 to 128 characters", good=["x", "x" * 128], bad=["", "x" * 129]),
    "RetryBatchRequest.cluster_id": stated("1 to 64 characters; absent = any", good=["x" * 64], bad=["", "x" * 65]),
    "ListFailureClustersRequest.batch_id": stated("a UUID", **UUIDS),
    "ListFailureClustersRequest.page_size": stated("1 to 1,000; absent or 0 = 50", good=[0, 1, 1_000], bad=[-1, 1_001]),
    "ListFailureClustersRequest.page_token": stated("empty = the first page", good=[""], bad=["mine"]),
    "ListBatchesRequest.statuses": stated("empty = any", good=[[], [1, 2, 3, 4, 5, 6]], bad=[[0], [7]]),
    "ListBatchesRequest.operation": stated("1 to 128 characters; absent = any", good=["x" * 128], bad=["", "x" * 129]),
    "ListBatchesRequest.labels": stated(
        "at most 16; keys of 1 to 63 characters, values of at most 256",
        good=[{"k" * 63: "v" * 256}],
        bad=[{str(n): "" for n in range(17)}, {"": "v"}, {"k" * 64: "v"}, {"k": "v" * 257}],
    ),
    "ListBatchesRequest.created_after": stated(
        "at or after this time (UTC)", good=[Timestamp()], bad=[Timestamp(nanos=-1), Timestamp(seconds=2**40)]
    ),
    "ListBatchesRequest.created_before": stated(
        "before this time (UTC)", good=[Timestamp()], bad=[Timestamp(nanos=10**9), Timestamp(seconds=-(2**40))]
    ),
    "ListBatchesRequest.page_size": stated("1 to 1,000; absent or 0 = 50", good=[0, 1, 1_000], bad=[-1, 1_001]),
    "ListBatchesRequest.page_token": stated("empty = the first page", good=[""], bad=["mine"]),
    "DeleteBatchRequest.batch_id": stated("a UUID", **UUIDS),
    "GetUsageRequest.day_from": stated(
        "as in `2026-01-31`; absent = 30 days", good=[str(TODAY)], bad=DAYS_THAT_ARE_NONE
    ),
    "GetUsageRequest.day_before": stated(
        "as in `2026-02-28`, at most 366 days after `day_from`; absent = tomorrow",
        good=[str(TODAY), "2020-02-29"],
        bad=DAYS_THAT_ARE_NONE,
    ),
    "DeleteTenantRequest.tenant": stated(
        "1 to 63 characters of `a-z 0-9 _ -`, the first one a letter or a digit",
        good=["a", "0_-", "x" * 63],  # what it forbids is told to operators: test_tenants.py
    ),
    "UploadImageRequest.header": stated("First, and once"),
    "UploadImageRequest.chunk": stated("at most 1 MiB", good=[bytes(MIB)], bad=[bytes(MIB + 1)]),
    "UploadImageHeader.content_type": stated("at most 255 characters", good=["", "x" * 255], bad=["x" * 256]),
    "UploadImageHeader.file_name": stated("at most 255 characters", good=["", "x" * 255], bad=["x" * 256]),
    "UploadImageHeader.sha256": stated(
        "64 lower-case hexadecimal digits",
        good=[hashlib.sha256(b"x").hexdigest()],
        bad=["", "0" * 63, "A" * 64, "g" * 64],
    ),
    "DownloadImageRequest.object_key": stated("The object's key", good=["k", "k" * 255], bad=["", "k" * 256]),
    "CreateUploadUrlRequest.content_type": stated("at most 255 characters", good=["x" * 255], bad=["x" * 256]),
    "CreateUploadUrlRequest.file_name": stated("at most 255 characters", good=["x" * 255], bad=["x" * 256]),
    "CreateUploadUrlRequest.size_bytes": stated("0 or more", good=[0, 2**62], bad=[-1]),
}


def request_fields() -> Iterator[str]:
    """Every field of every message that a caller may send."""
    seen: set[str] = set()

    def of(message: Descriptor) -> Iterator[str]:
        if message.file.package != "imagebatch.v1" or message.GetOptions().map_entry or message.full_name in seen:
            return
        seen.add(message.full_name)
        for field in message.fields:
            yield f"{message.name}.{field.name}"
            if field.message_type is not None:
                yield from of(field.message_type)

    for file in (batches.DESCRIPTOR, images.DESCRIPTOR):
        for service in file.services_by_name.values():
            for method in service.methods:
                yield from of(method.input_type)


def test_every_field_of_a_request_is_here() -> None:
    assert set(FIELDS) == set(request_fields())


@pytest.mark.parametrize("name", FIELDS)
def test_the_words_are_those_of_the_proto(name: str) -> None:
    for said in FIELDS[name].words:
        assert said in words.said()[name], words.said()[name]


def send(raw: Raw, name: str, value: Any) -> object:
    """Send a request that is good but for this field, which has this value."""
    message, _, field = name.partition(".")
    given = {} if value is None else {field: value}
    match message:
        case "BatchOptions":
            return raw.submit([item(object_key="k")], **{"operation": "noop", **given})
        case "BatchImageInput":
            other = {} if field in ("image_url", "image_base64", "object_key") else {"object_key": "k"}
            return raw.submit([types.BatchImageInput(**{**other, **given})], "noop")
        case "SubmitBatchRequest":
            good = {"options": batches.BatchOptions(operation="noop"), "items": [item(object_key="k")]}
            good.pop(field)
            return raw.batches.SubmitBatch(batches.SubmitBatchRequest(**{**good, **given}))
        case "BatchImageInputs":
            options = batches.SubmitBatchStreamRequest(options=batches.BatchOptions(operation="noop"))
            chunk = batches.SubmitBatchStreamRequest(items=batches.BatchImageInputs(**given))
            return raw.batches.SubmitBatchStream(iter([options, chunk]))
        case "UploadImageRequest":
            return raw.upload(value, chunk_bytes=len(value))
        case "UploadImageHeader":
            return raw.images.UploadImage(upload_messages(b"x", **given))
    rpc = message.removesuffix("Request")
    stub: Any = raw.images if rpc in ("DownloadImage", "CreateUploadUrl") else raw.batches
    module: Any = images if stub is raw.images else batches
    names = getattr(module, message).DESCRIPTOR.fields_by_name
    which: dict[str, Any] = {"batch_id": UNKNOWN} if "batch_id" in names else {}
    if message == "UpdateBatchRequest" and field != "update_mask":
        which["update_mask"] = mask("priority", "labels")
    answer = getattr(stub, rpc)(getattr(module, message)(**{**which, **given}))
    return list(answer) if rpc in ("WatchBatch", "DownloadImage") else answer


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.good])
def test_what_the_words_allow_is_taken(raw: Raw, name: str) -> None:
    for value in FIELDS[name].good:
        try:
            send(raw, name, value)
        except grpc.RpcError as error:
            found = refusal(error)  # of a batch or an object that doesn't exist, or by an operation that takes nothing
            path = f"options.{name.partition('.')[2]}."
            assert found.code is not grpc.StatusCode.INVALID_ARGUMENT or found.reason == "INVALID_PARAMETERS", found
            assert found.reason != "INVALID_PARAMETERS" or all(at.startswith(path) for at in found.violations)


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.bad])
def test_what_the_words_forbid_is_refused_by_name(raw: Raw, name: str) -> None:
    field = name.partition(".")[2]
    for value in FIELDS[name].bad:
        found = refused(partial(send, raw, name, value))
        assert found.code is grpc.StatusCode.INVALID_ARGUMENT, (value, found)
        assert found.violations
        for path in found.violations:
            assert field in re.split(r"[.\[]", path), (value, found)


def test_defaults_are_those_of_the_words(raw: Raw, picture: str) -> None:
    batch_id = raw.submit([item(object_key=picture)] * 101, "noop").batch_id
    status = raw.watch_to_end(batch_id).statuses[-1]
    assert (status.priority, status.max_attempts, status.item_timeout) == (5, 3, Duration(seconds=60))
    page = raw.page(batch_id)
    assert (page.pagination.limit, len(page.results), page.pagination.has_more) == (100, 100, True)
    assert page.results[7].item_id == f"{batch_id}-7"
    for _ in range(51):
        raw.submit([item(object_key="k")], "noop")
    assert len(raw.batches.ListBatches(batches.ListBatchesRequest()).batches) == 50


@pytest.mark.parametrize("messages", [["items", "options"], ["options", "options"], ["items"], [], ["nothing"]])
def test_options_come_first_and_once(raw: Raw, messages: list[str]) -> None:
    made = {
        "options": batches.SubmitBatchStreamRequest(options=batches.BatchOptions(operation="noop")),
        "items": batches.SubmitBatchStreamRequest(items=batches.BatchImageInputs(items=[item(object_key="k")])),
        "nothing": batches.SubmitBatchStreamRequest(),
    }
    found = refused(lambda: raw.batches.SubmitBatchStream(iter([made[name] for name in messages])))
    assert found.code is grpc.StatusCode.INVALID_ARGUMENT


def failed(raw: Raw) -> str:
    batch_id = raw.submit([item(object_key="gone")]).batch_id
    raw.watch_to_end(batch_id)
    return batch_id


def running(raw: Raw) -> str:
    """Submit a batch that runs for a second."""
    key = raw.upload(pictures.drawn()).object_key
    return raw.submit([item(object_key=key, metadata={"do": "sleep", "seconds": 1})]).batch_id


def cancelled(raw: Raw) -> str:
    batch_id = running(raw)
    raw.batches.CancelBatch(batches.CancelBatchRequest(batch_id=batch_id))
    raw.watch_to_end(batch_id)
    return batch_id


def submit_twice(raw: Raw) -> object:
    raw.submit([item(object_key="k")], request_id="words")
    return raw.submit([item(object_key="l")], request_id="words")


def retry_twice(raw: Raw) -> object:
    batch_id = failed(raw)
    raw.batches.RetryBatch(batches.RetryBatchRequest(batch_id=batch_id, request_id="r"))
    return raw.batches.RetryBatch(batches.RetryBatchRequest(batch_id=batch_id, request_id="r", item_ids=["x"]))


def delete_running(raw: Raw) -> object:
    return raw.batches.DeleteBatch(batches.DeleteBatchRequest(batch_id=running(raw)))


def of_unknown(rpc: str) -> Callable[[Raw], object]:
    return lambda raw: send(raw, f"{rpc}Request.batch_id", UNKNOWN)


def of_ended(rpc: str) -> Callable[[Raw], object]:
    return lambda raw: send(raw, f"{rpc}Request.batch_id", failed(raw))


TERMINAL = ("FAILED_PRECONDITION", "BATCH_TERMINAL")
NOT_FOUND = ("NOT_FOUND", "BATCH_NOT_FOUND")
INVALID = ("INVALID_ARGUMENT", "INVALID_REQUEST")
ERRORS: dict[tuple[str, tuple[str, str]], Callable[[Raw], object]] = {
    ("BatchService.SubmitBatch", INVALID): lambda raw: raw.submit([]),
    ("BatchService.SubmitBatch", ("INVALID_ARGUMENT", "UNKNOWN_OPERATION")): lambda raw: raw.submit(
        [item(object_key="k")], "embellish"
    ),
    ("BatchService.SubmitBatch", ("INVALID_ARGUMENT", "INVALID_PARAMETERS")): lambda raw: raw.submit(
        [item(object_key="k")], parameters={"word": 7}
    ),
    ("BatchService.SubmitBatch", ("INVALID_ARGUMENT", "LIMIT_EXCEEDED")): lambda raw: raw.submit(
        [item(object_key="k")] * 10_001
    ),
    ("BatchService.SubmitBatch", ("ALREADY_EXISTS", "REQUEST_ID_REUSED")): submit_twice,
    ("BatchService.GetBatchStatus", NOT_FOUND): of_unknown("GetBatchStatus"),
    ("BatchService.GetBatchResults", NOT_FOUND): of_unknown("GetBatchResults"),
    ("BatchService.WatchBatch", NOT_FOUND): of_unknown("WatchBatch"),
    ("BatchService.WatchBatch", ("OUT_OF_RANGE", "SEQUENCE_OUT_OF_RANGE")): lambda raw: list(raw.watch(failed(raw), 2)),
    ("BatchService.CancelBatch", NOT_FOUND): of_unknown("CancelBatch"),
    ("BatchService.PauseBatch", NOT_FOUND): of_unknown("PauseBatch"),
    ("BatchService.PauseBatch", TERMINAL): of_ended("PauseBatch"),
    ("BatchService.ResumeBatch", NOT_FOUND): of_unknown("ResumeBatch"),
    ("BatchService.ResumeBatch", TERMINAL): of_ended("ResumeBatch"),
    ("BatchService.UpdateBatch", NOT_FOUND): of_unknown("UpdateBatch"),
    ("BatchService.UpdateBatch", TERMINAL): of_ended("UpdateBatch"),
    ("BatchService.RetryBatch", NOT_FOUND): of_unknown("RetryBatch"),
    ("BatchService.RetryBatch", ("ALREADY_EXISTS", "REQUEST_ID_REUSED")): retry_twice,
    ("BatchService.RetryBatch", ("FAILED_PRECONDITION", "BATCH_NOT_RETRYABLE")): lambda raw: raw.batches.RetryBatch(
        batches.RetryBatchRequest(batch_id=cancelled(raw))
    ),
    ("BatchService.ListFailureClusters", NOT_FOUND): of_unknown("ListFailureClusters"),
    ("BatchService.ListFailureClusters", INVALID): lambda raw: send(
        raw, "ListFailureClustersRequest.page_token", "mine"
    ),
    ("BatchService.ListBatches", INVALID): lambda raw: send(raw, "ListBatchesRequest.page_token", "mine"),
    ("BatchService.DeleteBatch", NOT_FOUND): of_unknown("DeleteBatch"),
    ("BatchService.DeleteBatch", ("FAILED_PRECONDITION", "BATCH_NOT_TERMINAL")): delete_running,
    ("BatchService.DeleteTenant", ("PERMISSION_DENIED", "PERMISSION_DENIED")): lambda raw: send(
        raw, "DeleteTenantRequest.tenant", "acme"
    ),
    ("BatchService.GetUsage", INVALID): lambda raw: send(raw, "GetUsageRequest.day_from", "2026-02-30"),
    ("ImageService.UploadImage", INVALID): lambda raw: raw.images.UploadImage(
        iter([images.UploadImageRequest(chunk=b"x")])
    ),
    ("ImageService.DownloadImage", ("NOT_FOUND", "OBJECT_NOT_FOUND")): lambda raw: send(
        raw, "DownloadImageRequest.object_key", "k"
    ),
    ("ImageService.DownloadImage", INVALID): lambda raw: send(raw, "DownloadImageRequest.object_key", ""),
    ("ImageService.CreateUploadUrl", INVALID): lambda raw: send(raw, "CreateUploadUrlRequest.size_bytes", -1),
    ("ImageService.CreateUploadUrl", ("UNIMPLEMENTED", "NOT_SUPPORTED")): lambda raw: send(
        raw, "CreateUploadUrlRequest.size_bytes", 1
    ),
}
ELSEWHERE = {
    ("BatchService.SubmitBatch", ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")): "test_limits.py, with a low limit",
    ("BatchService.RetryBatch", ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")): "test_limits.py, with a low limit",
    ("ImageService.UploadImage", ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")): "test_limits.py, with a low limit",
    ("BatchService.WatchBatch", ("UNAVAILABLE", "DRAINING")): "test_stopping.py",
    ("BatchService.SubmitBatch", ("UNIMPLEMENTED", "NOT_SUPPORTED")): "every option is honoured; for those to come",
    ("ImageService.CreateUploadUrl", ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")): "for stores that can sign URLs",
}


def test_every_error_of_an_rpc_is_here() -> None:
    rpcs = [name for name in words.said() if name.startswith(("BatchService.", "ImageService."))]
    assert len(rpcs) == 20
    assert {*ERRORS, *ELSEWHERE} == {(rpc, error) for rpc in rpcs for error in words.errors_of(rpc)}


@pytest.mark.parametrize("stated_error", ERRORS, ids=lambda stated_error: f"{stated_error[0]} {stated_error[1][1]}")
def test_an_error_has_its_code_and_its_reason(raw: Raw, stated_error: tuple[str, tuple[str, str]]) -> None:
    found: Refusal = refused(lambda: ERRORS[stated_error](raw))
    assert (found.code.name, found.reason) == stated_error[1]


def examples(name: str) -> Any:
    """Read the JSON in the comment on a field."""
    (text,) = re.findall(r"`(\{.*?\})`", words.said()[name])
    return json.loads(text)


def test_the_examples_are_true(raw: Raw, picture: str) -> None:
    parameters = json_format.ParseDict(examples("BatchOptions.parameters"), Struct())
    batch_id = raw.submit([item(object_key=picture)], "thumbnail", parameters=parameters).batch_id
    (result,) = raw.watch_to_end(batch_id).results
    example = examples("BatchItemResult.output_data")
    output = plain(result.output_data)
    assert example.keys() <= output.keys()
    assert {name: type(output[name]) for name in example if isinstance(example[name], str)} == {
        name: str for name, value in example.items() if isinstance(value, str)
    }
