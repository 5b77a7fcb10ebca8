"""Two tenants: to one, every id of the other is as one that does not exist, in every rpc that the contract has."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from tests.integration.access.secured import Secured
from tests.integration.access.two_tenants import IMAGE, Ids, client_of, one_of_each, unknown
from tests.integration.server.calls import TIMEOUT_S, Raw, item, refusal

from imagebatch.v1 import batch_service_pb2 as batches
from imagebatch.v1 import image_service_pb2 as images
from imagebatch_server.access.principal import Role

MASK = FieldMask(paths=["priority", "labels"])


@pytest.fixture(scope="module")
def theirs(secured: Secured) -> Ids:
    return one_of_each(secured)


@pytest.fixture(scope="module")
def ours(secured: Secured, theirs: Ids) -> Raw:
    """Let the other tenant have a batch from before and after."""
    return client_of(secured, "ours", "shop", Role.WRITER)


Case = Callable[[Raw, Ids], Any]


def _submit(raw: Raw, ids: Ids) -> object:
    """Name their object, in a batch under their request_id with their item_id; tell what becomes of it."""
    return _outcomes(raw, raw.submit([item(object_key=ids.object_key, item_id=ids.item_id)], request_id=ids.request_id))


def _submit_stream(raw: Raw, ids: Ids) -> object:
    options = batches.BatchOptions(operation="scripted", request_id=f"{ids.request_id}-s", skip_duplicates=True)
    named = [item(object_key=ids.object_key, item_id=ids.item_id), item(object_key=ids.object_key)]
    messages = [
        batches.SubmitBatchStreamRequest(options=options),
        batches.SubmitBatchStreamRequest(items=batches.BatchImageInputs(items=named)),
    ]
    return _outcomes(raw, raw.batches.SubmitBatchStream(iter(messages), timeout=TIMEOUT_S))


def _outcomes(raw: Raw, submitted: Any) -> object:
    raw.watch_to_end(submitted.batch_id)
    page = raw.page(submitted.batch_id)
    raw.batches.DeleteBatch(batches.DeleteBatchRequest(batch_id=submitted.batch_id), timeout=TIMEOUT_S)
    told = [
        (result.item_id, result.status, result.error_code, result.error_message, result.stored_image_url != "")
        for result in page.results
    ]
    return str(told).replace(submitted.batch_id, "<own batch>")


def _upload(raw: Raw, ids: Ids) -> object:
    """Claim content that they have, without sending it."""
    header = images.UploadImageHeader(sha256=ids.sha256)
    return raw.images.UploadImage(iter([images.UploadImageRequest(header=header)]), timeout=TIMEOUT_S)


def _by(stub: str, request: Callable[..., Message], *names: str, **fixed: Any) -> Case:
    """Make a call whose fields of these names are the ids of these kinds."""

    def call(raw: Raw, ids: Ids) -> object:
        filled = request(**{name: getattr(ids, name) for name in names}, **fixed)
        answer = getattr(raw.images if hasattr(raw.images, stub) else raw.batches, stub)(filled, timeout=TIMEOUT_S)
        return list(answer) if isinstance(answer, Iterator) else answer

    return call


CASES: Mapping[str, tuple[Case, ...]] = {
    "SubmitBatch": (_submit,),
    "SubmitBatchStream": (_submit_stream,),
    "GetBatchStatus": (_by("GetBatchStatus", batches.GetBatchStatusRequest, "batch_id"),),
    "GetBatchResults": (
        _by("GetBatchResults", batches.GetBatchResultsRequest, "batch_id"),
        lambda raw, ids: raw.page(ids.batch_id, item_ids=[ids.item_id]),
        lambda raw, ids: raw.page(ids.batch_id, text="image"),
    ),
    "WatchBatch": (
        _by("WatchBatch", batches.WatchBatchRequest, "batch_id"),
        _by("WatchBatch", batches.WatchBatchRequest, "batch_id", after_sequence=10_000),
    ),
    "CancelBatch": (_by("CancelBatch", batches.CancelBatchRequest, "batch_id"),),
    "PauseBatch": (_by("PauseBatch", batches.PauseBatchRequest, "batch_id"),),
    "ResumeBatch": (_by("ResumeBatch", batches.ResumeBatchRequest, "batch_id"),),
    "UpdateBatch": (
        _by(
            "UpdateBatch", batches.UpdateBatchRequest, "batch_id", update_mask=MASK, priority=9, labels={"run": "ours"}
        ),
    ),
    "RetryBatch": (
        _by("RetryBatch", batches.RetryBatchRequest, "batch_id"),
        lambda raw, ids: raw.batches.RetryBatch(
            batches.RetryBatchRequest(batch_id=ids.batch_id, request_id=ids.retry_request_id, item_ids=[ids.item_id]),
            timeout=TIMEOUT_S,
        ),
        lambda raw, ids: raw.batches.RetryBatch(
            batches.RetryBatchRequest(batch_id=ids.batch_id, cluster_id=ids.cluster_id), timeout=TIMEOUT_S
        ),
    ),
    "ListFailureClusters": (_by("ListFailureClusters", batches.ListFailureClustersRequest, "batch_id"),),
    "ListBatches": (
        _by("ListBatches", batches.ListBatchesRequest, "page_token", page_size=1),
        lambda raw, _: raw.batches.ListBatches(batches.ListBatchesRequest(labels={"run": "theirs"})),
    ),
    "DeleteBatch": (_by("DeleteBatch", batches.DeleteBatchRequest, "batch_id"),),
    "ListOperations": (_by("ListOperations", batches.ListOperationsRequest),),
    "GetServerInfo": (_by("GetServerInfo", batches.GetServerInfoRequest),),
    "GetUsage": (_by("GetUsage", batches.GetUsageRequest, day_from="2020-01-01", day_before="2020-01-02"),),
    "DeleteTenant": (_by("DeleteTenant", batches.DeleteTenantRequest, "tenant"),),
    "UploadImage": (_upload,),
    "DownloadImage": (_by("DownloadImage", images.DownloadImageRequest, "object_key"),),
    "CreateUploadUrl": (
        _by("CreateUploadUrl", images.CreateUploadUrlRequest, content_type="image/png", file_name="a", size_bytes=1),
    ),
}
"""How each rpc is asked for what is theirs. Whoever adds an rpc says here which ids it takes."""

RPCS = [
    method.name
    for file in (batches.DESCRIPTOR, images.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]

BY_ID_ALONE = (
    *("GetBatchStatus", "GetBatchResults", "WatchBatch", "CancelBatch", "PauseBatch", "ResumeBatch", "UpdateBatch"),
    *("RetryBatch", "ListFailureClusters", "DownloadImage"),
)
ROUNDS = 40


def told(case: Case, raw: Raw, ids: Ids) -> str:
    """Call, and answer all that can be seen of what came back, but for the ids themselves."""
    try:
        answer = case(raw, ids)
    except grpc.RpcError as error:
        return ids.hidden_in(str(refusal(error)))
    if isinstance(answer, Message):
        return ids.hidden_in(json_format.MessageToJson(answer))
    return ids.hidden_in(str(answer))


def test_every_rpc_is_asked() -> None:
    assert sorted(CASES) == sorted(RPCS)


@pytest.mark.parametrize("rpc", RPCS)
def test_what_is_theirs_is_as_what_is_nobody_s(rpc: str, ours: Raw, theirs: Ids) -> None:
    for number, case in enumerate(CASES.get(rpc, ())):
        assert told(case, ours, theirs) == told(case, ours, unknown(f"{rpc}-{number}".lower()))


def test_nothing_of_theirs_was_touched(secured: Secured, ours: Raw, theirs: Ids) -> None:
    raw = client_of(secured, "checks", "acme", Role.READER)
    for rpc in RPCS:
        for case in CASES.get(rpc, ()):
            told(case, ours, theirs)
    status = raw.status(theirs.batch_id)
    assert (status.total_items, status.cancel_requested_at.seconds) == (2, 0)
    assert (status.priority, dict(status.labels)) == (5, {"run": "theirs"})
    assert raw.download(theirs.object_key)[1] == IMAGE
    assert [batch.batch_id for batch in raw.batches.ListBatches(batches.ListBatchesRequest()).batches] == [
        theirs.batch_id
    ]


@pytest.mark.parametrize("rpc", BY_ID_ALONE)
def test_it_takes_the_same_order_of_time(rpc: str, ours: Raw, theirs: Ids) -> None:
    case, nobody_s = CASES[rpc][0], unknown("timed")
    seconds: dict[Ids, list[float]] = {theirs: [], nobody_s: []}
    for _ in range(ROUNDS):
        for ids, taken in seconds.items():
            began = perf_counter()
            told(case, ours, ids)
            taken.append(perf_counter() - began)
    ratio = statistics.median(seconds[theirs]) / statistics.median(seconds[nobody_s])
    assert 1 / 3 < ratio < 3
