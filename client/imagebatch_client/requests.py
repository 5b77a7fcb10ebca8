"""From the arguments of the clients' methods to the contract's request messages."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from numbers import Real
from operator import index
from typing import Any, TypeVar
from uuid import UUID, uuid4

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch.v1.enums import (
    BATCH_ITEM_STATUS_NUMBERS,
    BATCH_STATUS_NUMBERS,
    ITEM_ERROR_CODE_NUMBERS,
    BatchItemStatus,
    BatchStatus,
    ItemErrorCode,
)
from imagebatch_client.errors import InvalidRequestError, NotSupportedError
from imagebatch_client.settings import MOST_SECONDS
from imagebatch_client.structs import fill_struct
from imagebatch_client.types import BatchImageInput

A = TypeVar("A")

# A server takes requests of 32 MiB and, by default, 10,000 items in one; options need some of the bytes.
_MAX_ITEM_BYTES = 31 * 2**20
_MAX_CHUNK_BYTES = 16 * 2**20
_MAX_CHUNK_ITEMS = 10_000
# More than one request holds are streamed, and the server writes a chunk while the next one is made and sent.
_MAX_STREAMED_CHUNK_ITEMS = 1_000


def identifier(value: str | UUID, field: str) -> str:
    """Write an id as the contract does. Raises InvalidRequestError for what is neither a string nor a UUID."""
    if isinstance(value, UUID):
        return str(value)
    if not isinstance(value, str):
        raise InvalidRequestError.of_field(field, f"is {type(value).__name__}; give a string or a UUID")
    return value


def own_or_new_request_id(value: str | UUID | None, field: str = "options.request_id") -> str:
    """Check the caller's own key for a request, or make one. Raises InvalidRequestError for an empty one."""
    if value is None:
        return str(uuid4())
    if value == "":
        raise InvalidRequestError.of_field(field, "is empty; give 1 to 128 characters, or leave it out")
    return identifier(value, field)


def seconds(value: float | None, field: str) -> float | None:
    """Check a timeout; None and infinity are none. Raises InvalidRequestError for what is no number of seconds."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        raise InvalidRequestError.of_field(field, f"{value!r} is no number of seconds; give one, or None for no end")
    return None if value > MOST_SECONDS else float(value)


def whole(value: int, field: str) -> int:
    """Check a whole number. Raises InvalidRequestError for True and False too, which protobuf takes for one."""
    if isinstance(value, bool):
        raise InvalidRequestError.of_field(field, f"is {value}; give a whole number")
    try:
        return index(value)
    except TypeError as error:
        raise InvalidRequestError.of_field(field, f"{value!r} is no whole number; give one") from error


def flag(value: bool, field: str) -> bool:
    """Check a switch. Raises InvalidRequestError for what is neither True nor False, such as "no"."""
    if not isinstance(value, bool):
        raise InvalidRequestError.of_field(field, f"{value!r} is neither True nor False")
    return value


def callback(value: object, field: str) -> None:
    """Raise InvalidRequestError for what is neither None nor callable."""
    if value is not None and not callable(value):
        raise InvalidRequestError.of_field(field, f"is {type(value).__name__}; give a function, or None")


def _count(value: int | None, field: str) -> int | None:
    number = None if value is None else whole(value, field)
    if number is not None and not -(2**31) <= number < 2**31:  # whose limits the server tells
        raise InvalidRequestError.of_field(field, f"{number} is larger than any number that counts something here")
    return number


def _number(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidRequestError.of_field(field, f"{value!r} is no number; give one")
    return float(value)


def _labels(labels: Mapping[str, str] | None, field: str) -> Mapping[str, str] | None:
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        raise InvalidRequestError.of_field(field, f"is {type(labels).__name__}; give a dict")
    for key, value in labels.items():
        for what, it in (("the key", key), ("the value", value)):
            if not isinstance(it, str):
                raise InvalidRequestError.of_field(field, f"has {what} {it!r:.80}; give strings")
    return labels


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
    output_prefix: str | None,
    notify_url: str | None,
) -> batch_service_pb2.BatchOptions:
    with _naming("options"):
        options = batch_service_pb2.BatchOptions(
            operation=operation,
            request_id=request_id,
            labels=_labels(labels, "options.labels"),
            priority=_count(priority, "options.priority"),
            skip_duplicates=flag(skip_duplicates, "options.skip_duplicates"),
            max_attempts=_count(max_attempts, "options.max_attempts"),
            canary=_count(canary, "options.canary"),
            failure_limit=None if failure_limit is None else _number(failure_limit, "options.failure_limit"),
            output_prefix=output_prefix,
            notify_url=notify_url,
        )
        if item_timeout is not None:
            options.item_timeout.FromTimedelta(timedelta(seconds=_number(item_timeout, "options.item_timeout")))
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
            item_id=None if item.item_id is None else identifier(item.item_id, f"items[{index}].item_id"),
        )
    except (TypeError, ValueError) as error:
        raise InvalidRequestError.of_field(f"items[{index}]", str(error)) from error
    if item.metadata is not None:
        fill_struct(message.metadata, item.metadata, f"items[{index}].metadata")
    return message


class ItemChunks:
    """Items split into runs that each fit a request with room to spare: put in one by one, taken out as they fill."""

    def __init__(self) -> None:
        self._chunk: list[types_pb2.BatchImageInput] = []
        self._chunk_bytes, self._most_items, self._count = 0, _MAX_CHUNK_ITEMS, 0

    def add(self, item: BatchImageInput) -> list[types_pb2.BatchImageInput] | None:
        """Take the next item. Answers the chunk before it, if that is full."""
        index = self._count
        message = image_input(item, index)
        self._count += 1
        size_bytes = message.ByteSize()
        if size_bytes > _MAX_ITEM_BYTES:
            raise InvalidRequestError.of_field(
                f"items[{index}]",
                f"has {size_bytes} bytes, and a request holds {_MAX_ITEM_BYTES}; "
                "pass larger images to upload_image, and here its object_key",
            )
        full = None
        if self._chunk and (len(self._chunk) == self._most_items or self._chunk_bytes + size_bytes > _MAX_CHUNK_BYTES):
            full, self._chunk, self._chunk_bytes = self._chunk, [], 0
            self._most_items = _MAX_STREAMED_CHUNK_ITEMS
        self._chunk.append(message)
        self._chunk_bytes += size_bytes
        return full

    def rest(self) -> list[types_pb2.BatchImageInput]:
        """Answer what no chunk was full of; empty if nothing was put in."""
        return self._chunk


def item_chunks(items: Iterable[BatchImageInput]) -> Iterator[list[types_pb2.BatchImageInput]]:
    """Split `items` into chunks, which are read as they are asked for."""
    chunks = ItemChunks()
    for item in iterated(items, "items"):
        if full := chunks.add(item):
            yield full
    if rest := chunks.rest():
        yield rest


def iterated(values: Iterable[A], field: str) -> Iterator[A]:
    """Iterate over `values`. Raises InvalidRequestError for what can't be iterated, and for a string."""
    if isinstance(values, (str, bytes)):
        raise InvalidRequestError.of_field(field, f"is {type(values).__name__} {values!r}; give a list")
    try:
        return iter(values)
    except TypeError as error:
        raise InvalidRequestError.of_field(field, f"is {type(values).__name__}; give a list") from error


def stream_options(options: batch_service_pb2.BatchOptions) -> batch_service_pb2.SubmitBatchStreamRequest:
    """Make the first message of a streamed submit."""
    return batch_service_pb2.SubmitBatchStreamRequest(options=options)


def stream_items(chunk: list[types_pb2.BatchImageInput]) -> batch_service_pb2.SubmitBatchStreamRequest:
    """Make a later message of it."""
    request = batch_service_pb2.SubmitBatchStreamRequest()
    request.items.items.extend(chunk)  # to construct one message from another copies it
    return request


def get_status(batch_id: str | UUID) -> batch_service_pb2.GetBatchStatusRequest:
    with _naming("request"):
        return batch_service_pb2.GetBatchStatusRequest(batch_id=identifier(batch_id, "batch_id"))


def cancel(batch_id: str | UUID) -> batch_service_pb2.CancelBatchRequest:
    with _naming("request"):
        return batch_service_pb2.CancelBatchRequest(batch_id=identifier(batch_id, "batch_id"))


def pause(batch_id: str | UUID) -> batch_service_pb2.PauseBatchRequest:
    with _naming("request"):
        return batch_service_pb2.PauseBatchRequest(batch_id=identifier(batch_id, "batch_id"))


def resume(batch_id: str | UUID) -> batch_service_pb2.ResumeBatchRequest:
    with _naming("request"):
        return batch_service_pb2.ResumeBatchRequest(batch_id=identifier(batch_id, "batch_id"))


def update(
    batch_id: str | UUID, priority: int | None, labels: Mapping[str, str] | None
) -> batch_service_pb2.UpdateBatchRequest:
    """Ask for what is given to be changed. Raises InvalidRequestError if nothing is."""
    with _naming("request"):
        request = batch_service_pb2.UpdateBatchRequest(
            batch_id=identifier(batch_id, "batch_id"),
            priority=None if priority is None else whole(priority, "priority"),
            labels=labels,
        )
    request.update_mask.paths.extend(
        name for name, value in (("priority", priority), ("labels", labels)) if value is not None
    )
    if not request.update_mask.paths:
        raise InvalidRequestError.of_field("update_mask", "is empty; give a priority, labels or both")
    return request


def delete(batch_id: str | UUID) -> batch_service_pb2.DeleteBatchRequest:
    with _naming("request"):
        return batch_service_pb2.DeleteBatchRequest(batch_id=identifier(batch_id, "batch_id"))


def create_upload_url(size_bytes: int, content_type: str, file_name: str) -> image_service_pb2.CreateUploadUrlRequest:
    with _naming("request"):
        return image_service_pb2.CreateUploadUrlRequest(
            content_type=content_type, file_name=file_name, size_bytes=size_bytes
        )


def download(object_key: str) -> image_service_pb2.DownloadImageRequest:
    with _naming("request"):
        return image_service_pb2.DownloadImageRequest(object_key=object_key)


def get_results(
    batch_id: str | UUID,
    *,
    include_failed: bool,
    offset: int,
    limit: int,
    statuses: Iterable[BatchItemStatus],
    item_ids: Iterable[str],
    error_codes: Iterable[ItemErrorCode],
    text: str | None,
) -> batch_service_pb2.GetBatchResultsRequest:
    with _naming("request"):
        return batch_service_pb2.GetBatchResultsRequest(
            batch_id=identifier(batch_id, "batch_id"),
            offset=whole(offset, "offset"),
            limit=whole(limit, "limit"),
            # Absent asks for the same as true, and is no filter: pages without one cost the same however far they are.
            include_failed=None if flag(include_failed, "include_failed") else False,
            statuses=_item_statuses(statuses),
            item_ids=[identifier(item_id, "item_ids") for item_id in iterated(item_ids, "item_ids")],
            error_codes=_error_codes(error_codes),
            text=text,
        )


def watch(
    batch_id: str | UUID, after_sequence: int, statuses: Iterable[BatchItemStatus]
) -> batch_service_pb2.WatchBatchRequest:
    with _naming("request"):
        return batch_service_pb2.WatchBatchRequest(
            batch_id=identifier(batch_id, "batch_id"),
            after_sequence=whole(after_sequence, "after_sequence"),
            statuses=_item_statuses(statuses),
        )


def retry(
    batch_id: str | UUID,
    error_codes: Iterable[ItemErrorCode],
    item_ids: Iterable[str],
    cluster_id: str | None,
    request_id: str,
) -> batch_service_pb2.RetryBatchRequest:
    with _naming("request"):
        return batch_service_pb2.RetryBatchRequest(
            batch_id=identifier(batch_id, "batch_id"),
            error_codes=_error_codes(error_codes),
            item_ids=iterated(item_ids, "item_ids"),
            cluster_id=cluster_id,
            request_id=request_id,
        )


def fit_retry(request: batch_service_pb2.RetryBatchRequest, features: Container[str], *, is_own_id: bool) -> None:
    """Take out the request_id that no server of these features knows, unless it is the caller's own.

    Raises NotSupportedError for what such a server would overlook: it would run all failed items again.
    """
    if request.item_ids and "retry_item_ids" not in features:
        raise _overlooked("item_ids", "retry_item_ids")
    if request.cluster_id and "failure_clusters" not in features:
        raise _overlooked("cluster_id", "failure_clusters")
    if "retry_request_id" not in features:
        if is_own_id:
            raise _overlooked("request_id", "retry_request_id")
        request.ClearField("request_id")


def names_destination(options: batch_service_pb2.BatchOptions) -> bool:
    """Whether it asks for what the first release of the contract had not: images elsewhere, somebody to be told."""
    return options.HasField("output_prefix") or options.HasField("notify_url")


def check_destinations(options: batch_service_pb2.BatchOptions, features: Container[str]) -> None:
    """Raise NotSupportedError where a server of these features has no such destinations, or would overlook them."""
    for field in ("output_prefix", "notify_url"):
        if options.HasField(field) and field not in features:
            raise _overlooked(field, field)


def is_search(request: batch_service_pb2.GetBatchResultsRequest) -> bool:
    """Whether it asks for what the first release of the contract had not."""
    return bool(request.error_codes) or request.HasField("text")


def check_search(request: batch_service_pb2.GetBatchResultsRequest, features: Container[str]) -> None:
    """Raise NotSupportedError where a server of these features would overlook what is searched for."""
    if "search_results" not in features:
        raise _overlooked("error_codes" if request.error_codes else "text", "search_results")


def list_failure_clusters(batch_id: str | UUID, page_size: int) -> batch_service_pb2.ListFailureClustersRequest:
    """Make the first page's request; those of the following ones differ in `page_token` alone."""
    with _naming("request"):
        return batch_service_pb2.ListFailureClustersRequest(
            batch_id=identifier(batch_id, "batch_id"), page_size=whole(page_size, "page_size")
        )


def _overlooked(field: str, feature: str) -> NotSupportedError:
    return NotSupportedError(
        f"{field}: the server would overlook it, for it does not list the feature {feature}; "
        "leave it out, or upgrade the server",
        metadata={"feature": feature},
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
    """Make the first page's request; those of the following ones differ in `page_token` alone."""
    with _naming("request"):
        request = batch_service_pb2.ListBatchesRequest(
            statuses=[BATCH_STATUS_NUMBERS[BatchStatus(status)] for status in iterated(statuses, "statuses")],
            operation=operation,
            labels=_labels(labels, "labels"),
            page_size=whole(page_size, "page_size"),
        )
    for field, time in (("created_after", created_after), ("created_before", created_before)):
        if time is None:
            continue
        if not isinstance(time, datetime) or time.tzinfo is None:
            raise InvalidRequestError.of_field(field, f"{time} has no time zone; give an aware datetime")
        with _naming(field):
            getattr(request, field).FromDatetime(time)
    return request


def get_usage(day_from: date | str | None, day_before: date | str | None) -> batch_service_pb2.GetUsageRequest:
    with _naming("request"):
        return batch_service_pb2.GetUsageRequest(
            day_from=_day(day_from, "day_from"), day_before=_day(day_before, "day_before")
        )


def delete_tenant(tenant: str) -> batch_service_pb2.DeleteTenantRequest:
    with _naming("request"):
        return batch_service_pb2.DeleteTenantRequest(tenant=tenant)


def _day(value: date | str | None, field: str) -> str | None:
    """Write a day as the contract does. Raises InvalidRequestError for a time, whose day depends on its zone."""
    if isinstance(value, datetime):
        raise InvalidRequestError.of_field(field, f"{value} is a time; give a day (UTC), as by its date()")
    return value.isoformat() if isinstance(value, date) else value


def _item_statuses(statuses: Iterable[BatchItemStatus]) -> list[types_pb2.BatchItemStatus.ValueType]:
    return [BATCH_ITEM_STATUS_NUMBERS[BatchItemStatus(status)] for status in iterated(statuses, "statuses")]


def _error_codes(codes: Iterable[ItemErrorCode]) -> list[types_pb2.ItemErrorCode.ValueType]:
    return [ITEM_ERROR_CODE_NUMBERS[ItemErrorCode(code)] for code in iterated(codes, "error_codes")]


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """Turn what protobuf and the enums say of a value that no message can hold into this client's error."""
    try:
        yield
    except (TypeError, ValueError, OverflowError, AttributeError) as error:
        raise InvalidRequestError.of_field(field, str(error)) from error
