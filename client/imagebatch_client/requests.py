"""From the arguments of the clients' methods to the contract's request messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.enums import (
    BATCH_ITEM_STATUS_NUMBERS,
    BATCH_STATUS_NUMBERS,
    ITEM_ERROR_CODE_NUMBERS,
    BatchItemStatus,
    BatchStatus,
    ItemErrorCode,
)
from imagebatch_client.errors import InvalidRequestError
from imagebatch_client.structs import fill_struct
from imagebatch_client.types import BatchImageInput

# A server takes requests of 32 MiB and, by default, 10,000 items in one; options need some of the bytes.
_MAX_ITEM_BYTES = 31 * 2**20
_MAX_CHUNK_BYTES = 16 * 2**20
_MAX_CHUNK_ITEMS = 10_000
# More than one request holds are streamed, and the server writes a chunk while the next one is made and sent.
_MAX_STREAMED_CHUNK_ITEMS = 1_000


def batch_options(
    operation: str,
    *,
    request_id: str,
    parameters: Mapping[str, Any] | None,
    labels: Mapping[str, str] | None,
    priority: int | None,
    skip_duplicates: bool,
    item_timeout: float | None,
    max_attempts: int | None,
    canary: int | None,
    failure_limit: float | None,
) -> batch_service_pb2.BatchOptions:
    with _naming("options"):
        options = batch_service_pb2.BatchOptions(
            operation=operation,
            request_id=request_id,
            labels=labels,
            priority=priority,
            skip_duplicates=skip_duplicates,
            max_attempts=max_attempts,
            canary=canary,
            failure_limit=failure_limit,
        )
        if item_timeout is not None:
            options.item_timeout.FromTimedelta(timedelta(seconds=item_timeout))
    if parameters is not None:
        fill_struct(options.parameters, parameters, "options.parameters")
    return options


def image_input(item: BatchImageInput, index: int) -> types_pb2.BatchImageInput:
    """`index` is the item's place in its batch, for messages."""
    if not isinstance(item, BatchImageInput):
        raise InvalidRequestError.of_field(f"items[{index}]", f"is {type(item).__name__}; give a BatchImageInput")
    try:  # which costs nothing, unlike `_naming`
        message = types_pb2.BatchImageInput(
            image_url=item.image_url,
            image_base64=item.image_base64,
            object_key=item.object_key,
            item_id=item.item_id,
        )
    except (TypeError, ValueError) as error:
        raise InvalidRequestError.of_field(f"items[{index}]", str(error)) from error
    if item.metadata is not None:
        fill_struct(message.metadata, item.metadata, f"items[{index}].metadata")
    return message


def item_chunks(items: Iterable[BatchImageInput]) -> Iterator[list[types_pb2.BatchImageInput]]:
    """Splits items into runs that each fit a request with room to spare. Reads them as they are asked for."""
    chunk: list[types_pb2.BatchImageInput] = []
    chunk_bytes, most_items = 0, _MAX_CHUNK_ITEMS
    for index, item in enumerate(items):
        message = image_input(item, index)
        size_bytes = message.ByteSize()
        if size_bytes > _MAX_ITEM_BYTES:
            raise InvalidRequestError.of_field(
                f"items[{index}]",
                f"has {size_bytes} bytes, and a request holds {_MAX_ITEM_BYTES}; "
                "pass larger images to upload_image, and here its object_key",
            )
        if chunk and (len(chunk) == most_items or chunk_bytes + size_bytes > _MAX_CHUNK_BYTES):
            yield chunk
            chunk, chunk_bytes, most_items = [], 0, _MAX_STREAMED_CHUNK_ITEMS
        chunk.append(message)
        chunk_bytes += size_bytes
    if chunk:
        yield chunk


def submit_stream(
    options: batch_service_pb2.BatchOptions, chunks: Iterable[list[types_pb2.BatchImageInput]]
) -> Iterator[batch_service_pb2.SubmitBatchStreamRequest]:
    yield batch_service_pb2.SubmitBatchStreamRequest(options=options)
    for chunk in chunks:
        request = batch_service_pb2.SubmitBatchStreamRequest()
        request.items.items.extend(chunk)  # to construct one message from another copies it
        yield request


def get_results(
    batch_id: str,
    *,
    include_failed: bool,
    offset: int,
    limit: int,
    statuses: Iterable[BatchItemStatus],
    item_ids: Iterable[str],
) -> batch_service_pb2.GetBatchResultsRequest:
    with _naming("request"):
        return batch_service_pb2.GetBatchResultsRequest(
            batch_id=batch_id,
            offset=offset,
            limit=limit,
            # Absent asks for the same as true, and is no filter: pages without one cost the same however far they are.
            include_failed=None if include_failed else False,
            statuses=[BATCH_ITEM_STATUS_NUMBERS[BatchItemStatus(status)] for status in statuses],
            item_ids=item_ids,
        )


def watch(
    batch_id: str, after_sequence: int, statuses: Iterable[BatchItemStatus]
) -> batch_service_pb2.WatchBatchRequest:
    with _naming("request"):
        return batch_service_pb2.WatchBatchRequest(
            batch_id=batch_id,
            after_sequence=after_sequence,
            statuses=[BATCH_ITEM_STATUS_NUMBERS[BatchItemStatus(status)] for status in statuses],
        )


def retry(batch_id: str, error_codes: Iterable[ItemErrorCode]) -> batch_service_pb2.RetryBatchRequest:
    with _naming("request"):
        return batch_service_pb2.RetryBatchRequest(
            batch_id=batch_id, error_codes=[ITEM_ERROR_CODE_NUMBERS[ItemErrorCode(code)] for code in error_codes]
        )


def list_batches(
    *,
    statuses: Iterable[BatchStatus],
    operation: str | None,
    labels: Mapping[str, str] | None,
    created_after: datetime | None,
    created_before: datetime | None,
    page_size: int,
) -> batch_service_pb2.ListBatchesRequest:
    """The first page's request; those of the following ones differ in `page_token` alone."""
    with _naming("request"):
        request = batch_service_pb2.ListBatchesRequest(
            statuses=[BATCH_STATUS_NUMBERS[BatchStatus(status)] for status in statuses],
            operation=operation,
            labels=labels,
            page_size=page_size,
        )
    for field, time in (("created_after", created_after), ("created_before", created_before)):
        if time is None:
            continue
        if time.tzinfo is None:
            raise InvalidRequestError.of_field(field, f"{time} has no time zone; give an aware datetime")
        getattr(request, field).FromDatetime(time)
    return request


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Turns what protobuf and the enums say of a value that no message can hold into this client's error."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRequestError.of_field(field, str(error)) from error
