"""Calls by the generated stubs alone: what a client sees that has none of our library."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.rpc import error_details_pb2, status_pb2
from tests.server import ServerProcess

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch.v1.batch_service_pb2_grpc import BatchServiceStub
from imagebatch.v1.image_service_pb2_grpc import ImageServiceStub

DETAILS_KEY = "grpc-status-details-bin"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Refusal:
    """A call's error, with the details of its trailer."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Mapping[str, str] = field(default_factory=dict)
    retry_delay_s: float | None = None


def refusal(error: grpc.RpcError) -> Refusal:
    """Read an error as the contract says that it can be read."""
    call = cast("grpc.Call", error)
    trailer = dict(call.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailer[DETAILS_KEY])
    assert status.code == call.code().value[0]
    assert status.message == call.details()
    info = _detail(status.details, error_details_pb2.ErrorInfo())
    assert info is not None
    assert info.domain == "imagebatch.v1"
    bad = _detail(status.details, error_details_pb2.BadRequest())
    retry = _detail(status.details, error_details_pb2.RetryInfo())
    return Refusal(
        code=call.code(),
        message=status.message,
        reason=info.reason,
        metadata=dict(info.metadata),
        violations={} if bad is None else {one.field: one.description for one in bad.field_violations},
        retry_delay_s=None if retry is None else retry.retry_delay.ToNanoseconds() / 1e9,
    )


def _detail(details: Sequence[AnyMessage], into: Message) -> Any:
    return next((into for detail in details if detail.Unpack(into)), None)


def refused(call: Callable[[], object]) -> Refusal:
    """Tell the error that a call must end with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return refusal(caught.value)


class Raw:
    """Both services of one server through stubs, with gRPC's default limits; in plain text without a channel."""

    def __init__(self, address: str, channel: grpc.Channel | None = None) -> None:
        self.channel = channel or grpc.insecure_channel(address)
        self.batches = BatchServiceStub(self.channel)
        self.images = ImageServiceStub(self.channel)

    def close(self) -> None:
        self.channel.close()

    def submit(
        self, items: Sequence[types_pb2.BatchImageInput], operation: str = "scripted", **options: Any
    ) -> types_pb2.BatchSubmissionResult:
        request = batch_service_pb2.SubmitBatchRequest(
            options=batch_service_pb2.BatchOptions(operation=operation, **options), items=items
        )
        return self.batches.SubmitBatch(request, timeout=TIMEOUT_S)

    def status(self, batch_id: str) -> types_pb2.BatchStatusResult:
        return self.batches.GetBatchStatus(
            batch_service_pb2.GetBatchStatusRequest(batch_id=batch_id), timeout=TIMEOUT_S
        )

    def page(self, batch_id: str, **request: Any) -> types_pb2.BatchResults:
        return self.batches.GetBatchResults(
            batch_service_pb2.GetBatchResultsRequest(batch_id=batch_id, **request), timeout=TIMEOUT_S
        )

    def pages(self, batch_id: str, limit: int = 100) -> list[types_pb2.BatchResults]:
        """All pages, each asked for by what came before."""
        pages = [self.page(batch_id, limit=limit)]
        while pages[-1].pagination.has_more:
            pages.append(self.page(batch_id, limit=limit, offset=sum(len(page.results) for page in pages)))
        return pages

    def watch(self, batch_id: str, after_sequence: int = 0, **request: Any) -> Any:
        """Begin the call, whose messages can be iterated."""
        watched = batch_service_pb2.WatchBatchRequest(batch_id=batch_id, after_sequence=after_sequence, **request)
        return self.batches.WatchBatch(watched, timeout=TIMEOUT_S)

    def watch_to_end(self, batch_id: str, after_sequence: int = 0, **request: Any) -> Watched:
        return watched(self.watch(batch_id, after_sequence, **request))

    def upload(
        self, data: bytes, *, chunk_bytes: int = 256 * 1024, **header: str
    ) -> image_service_pb2.UploadImageResponse:
        return self.images.UploadImage(upload_messages(data, chunk_bytes=chunk_bytes, **header), timeout=TIMEOUT_S)

    def download(self, object_key: str) -> tuple[image_service_pb2.DownloadImageHeader, bytes]:
        request = image_service_pb2.DownloadImageRequest(object_key=object_key)
        first, *rest = self.images.DownloadImage(request, timeout=TIMEOUT_S)
        assert first.HasField("header")
        assert all(message.HasField("chunk") for message in rest)
        return first.header, b"".join(message.chunk for message in rest)


@dataclass(frozen=True)
class Watched:
    """What a watch sent until it ended by itself."""

    results: Sequence[types_pb2.BatchItemResult]
    statuses: Sequence[types_pb2.BatchStatusResult]
    sequence: int
    sizes: Sequence[int]


def watched(messages: Iterator[batch_service_pb2.WatchBatchResponse]) -> Watched:
    """Read a watch to its end, which must be a terminal status in the last message and in no other."""
    received = list(messages)
    statuses = [message.status for message in received if message.HasField("status")]
    assert received[-1].HasField("status")
    assert [is_terminal(status) for status in statuses] == [False] * (len(statuses) - 1) + [True]
    return Watched(
        results=[result for message in received for result in message.results],
        statuses=statuses,
        sequence=received[-1].sequence,
        sizes=[message.ByteSize() for message in received],
    )


def is_terminal(status: types_pb2.BatchStatusResult) -> bool:
    return status.status not in {types_pb2.BATCH_STATUS_PENDING, types_pb2.BATCH_STATUS_PROCESSING}


def upload_messages(
    data: bytes, *, chunk_bytes: int = 256 * 1024, **header: str
) -> Iterator[image_service_pb2.UploadImageRequest]:
    """Make the messages of one upload."""
    yield image_service_pb2.UploadImageRequest(header=image_service_pb2.UploadImageHeader(**header))
    for at in range(0, len(data), chunk_bytes):
        yield image_service_pb2.UploadImageRequest(chunk=data[at : at + chunk_bytes])


def plain(struct: Struct) -> dict[str, Any]:
    """Turn a Struct into a dictionary."""
    return json_format.MessageToDict(struct)


def item(**fields: Any) -> types_pb2.BatchImageInput:
    """Make an item; its metadata may be a dictionary."""
    metadata = fields.pop("metadata", None)
    message = types_pb2.BatchImageInput(**fields)
    if metadata is not None:
        message.metadata.SetInParent()
        message.metadata.update(metadata)
    return message


def eventually(holds: Callable[[], object], patience_s: float = 20.0) -> None:
    """Wait for a fact of another process that nothing announces."""
    tick = threading.Event()
    for _ in range(int(patience_s * 100)):
        if holds():
            return
        tick.wait(0.01)
    raise AssertionError(f"it did not become true within {patience_s:g} s")


def blobs(server: ServerProcess) -> set[Path]:
    """Every file that the server's store holds but the store's own id, unfinished ones included."""
    return {path for path in (server.data_dir / "objects").rglob("*") if path.is_file() and path.name != "store-id"}
