"""Requests as the core's values. Shape was checked before: what stands here only translates and fills in defaults."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Literal

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.enums import (
    BATCH_ITEM_STATUS_BY_NUMBER,
    BATCH_STATUS_BY_NUMBER,
    ITEM_ERROR_CODE_BY_NUMBER,
    BatchItemStatus,
)
from imagebatch_server.batches.errors import InvalidRequest, Violation
from imagebatch_server.batches.item_admission import NewItem
from imagebatch_server.batches.model import (
    BatchChange,
    BatchFilter,
    BatchOptions,
    ClusterPosition,
    FailureCluster,
    ItemFilter,
    RetryRequest,
)

DEFAULT_PRIORITY = 5
DEFAULT_ITEM_TIMEOUT_S = 60.0
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_PAGE_LIMIT = 100
DEFAULT_LIST_SIZE = 50


def options(message: batch_service_pb2.BatchOptions) -> BatchOptions:
    """How to run a batch."""
    return BatchOptions(
        operation=message.operation,
        parameters=message.parameters.SerializeToString() if message.HasField("parameters") else None,
        labels=dict(message.labels),
        priority=_priority(message),
        item_timeout_s=(
            message.item_timeout.ToNanoseconds() / 1e9 if message.HasField("item_timeout") else DEFAULT_ITEM_TIMEOUT_S
        ),
        max_attempts=message.max_attempts if message.HasField("max_attempts") else DEFAULT_MAX_ATTEMPTS,
        request_id=message.request_id if message.HasField("request_id") else None,
        skip_duplicates=message.skip_duplicates,
        canary=message.canary if message.HasField("canary") else None,
        failure_limit=message.failure_limit if message.HasField("failure_limit") else None,
        output_prefix=message.output_prefix if message.HasField("output_prefix") else None,
        notify_url=message.notify_url if message.HasField("notify_url") else None,
    )


def _priority(message: batch_service_pb2.BatchOptions | batch_service_pb2.UpdateBatchRequest) -> int:
    return message.priority if message.HasField("priority") else DEFAULT_PRIORITY


def batch_change(request: batch_service_pb2.UpdateBatchRequest) -> BatchChange:
    """Read what the mask names, and nothing else."""
    named = request.update_mask.paths
    return BatchChange(
        priority=_priority(request) if "priority" in named else None,
        labels=dict(request.labels) if "labels" in named else None,
    )


def items(messages: Iterable[types_pb2.BatchImageInput]) -> Sequence[NewItem]:
    """Read the images of a batch."""
    return [_item(message) for message in messages]


def _item(message: types_pb2.BatchImageInput) -> NewItem:
    # An empty text is refused wherever one may be absent: to ask which is the case would only take time.
    return NewItem(
        item_id=message.item_id or None,
        image_url=message.image_url or None,
        image_base64=message.image_base64 or None,
        object_key=message.object_key or None,
        # Deterministic, because duplicates are told by it.
        metadata=message.metadata.SerializeToString(deterministic=True) if message.HasField("metadata") else None,
    )


def optional_day(request: batch_service_pb2.GetUsageRequest, field: Literal["day_from", "day_before"]) -> date | None:
    """Read a day; None if it is absent. Raises InvalidRequest for one that the calendar doesn't have."""
    if not request.HasField(field):
        return None
    text: str = getattr(request, field)
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(
            [Violation(field, f"{text} is no day of the calendar; give one as in 2026-01-31")]
        ) from error


async def first_options(
    requests: AsyncIterator[batch_service_pb2.SubmitBatchStreamRequest],
) -> batch_service_pb2.BatchOptions:
    """Read the options in the first message of a streamed submit. Raises InvalidRequest."""
    try:
        first = await anext(requests, None)
    except InvalidRequest as error:
        raise InvalidRequest([_moved(violation, 0) for violation in error.violations]) from error
    if first is None or not first.HasField("options"):
        raise InvalidRequest([Violation("options", "must come in the first message, before any items")])
    return first.options


async def item_chunks(
    requests: AsyncIterator[batch_service_pb2.SubmitBatchStreamRequest],
) -> AsyncIterator[Sequence[NewItem]]:
    """Read a streamed submit's items after its first message. Raises InvalidRequest, with paths of the whole batch."""
    count = 0
    try:
        async for request in requests:
            if request.HasField("options"):
                raise InvalidRequest([Violation("options", "must come once, in the first message")])
            yield items(request.items.items)
            count += len(request.items.items)
    except InvalidRequest as error:
        raise InvalidRequest([_moved(violation, count) for violation in error.violations]) from error


def _moved(violation: Violation, by: int) -> Violation:
    """Give a violation in one message of a stream its item's index in the whole batch."""
    match = _ITEM_OF_MESSAGE.match(violation.field)
    if match is None:
        return violation
    place = "" if match[1] is None else f"[{int(match[1]) + by}]"
    return replace(violation, field=f"items{place}{violation.field[match.end() :]}")


_ITEM_OF_MESSAGE = re.compile(r"items\.items(?:\[(\d+)\])?")


def content_sha256(request: batch_service_pb2.SubmitBatchRequest | batch_service_pb2.SubmitBatchStreamRequest) -> str:
    """Hash what a submit means, serialised deterministically: it tells two submits of one request_id apart.

    An option that says its default is as good as absent, so those are taken out of the request.
    """
    options = request.options
    if options.priority == DEFAULT_PRIORITY:
        options.ClearField("priority")
    if options.max_attempts == DEFAULT_MAX_ATTEMPTS:
        options.ClearField("max_attempts")
    if options.item_timeout.ToNanoseconds() == DEFAULT_ITEM_TIMEOUT_S * 1e9:
        options.ClearField("item_timeout")
    if not options.parameters.fields:
        options.ClearField("parameters")
    return _sha256(request)


def _sha256(request: Message) -> str:
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()


def batch_id(text: str) -> str:
    """Write a batch's id in the form in which it is stored."""
    return text.lower()


def item_filter(request: batch_service_pb2.GetBatchResultsRequest) -> ItemFilter:
    """Which items a page shows."""
    return ItemFilter(
        statuses=item_statuses(request.statuses),
        item_ids=tuple(request.item_ids),
        include_failed=request.include_failed if request.HasField("include_failed") else True,
        error_codes=tuple(ITEM_ERROR_CODE_BY_NUMBER[number] for number in request.error_codes),
        text=request.text if request.HasField("text") else None,
    )


def item_statuses(numbers: Iterable[int]) -> Sequence[BatchItemStatus]:
    """Statuses to filter by."""
    return tuple(BATCH_ITEM_STATUS_BY_NUMBER[number] for number in numbers)


def retry_request(request: batch_service_pb2.RetryBatchRequest) -> RetryRequest:
    """Which items to reopen; in which order, and how often, they were named makes no difference."""
    codes, item_ids = sorted(set(request.error_codes)), sorted(set(request.item_ids))
    cluster_id = request.cluster_id if request.HasField("cluster_id") else None
    content = batch_service_pb2.RetryBatchRequest(error_codes=codes, item_ids=item_ids, cluster_id=cluster_id)
    return RetryRequest(
        error_codes=tuple(ITEM_ERROR_CODE_BY_NUMBER[number] for number in codes),
        item_ids=tuple(item_ids),
        cluster_id=cluster_id,
        request_id=request.request_id if request.HasField("request_id") else None,
        content_sha256=_sha256(content),
    )


def batch_filter(request: batch_service_pb2.ListBatchesRequest) -> BatchFilter:
    """Which batches a listing shows. Raises InvalidRequest for a time that no calendar has."""
    return BatchFilter(
        statuses=tuple(BATCH_STATUS_BY_NUMBER[number] for number in request.statuses),
        operation=request.operation if request.HasField("operation") else None,
        labels=dict(request.labels),
        created_after=_time(request, "created_after"),
        created_before=_time(request, "created_before"),
    )


def _time(request: batch_service_pb2.ListBatchesRequest, field: str) -> datetime | None:
    if not request.HasField(field):  # type: ignore[arg-type]  # a name that this module gives
        return None
    message: Timestamp = getattr(request, field)
    try:
        return message.ToDatetime(tzinfo=UTC)
    except ValueError as error:
        text = f"{message.seconds} s and {message.nanos} ns are no time of the years 1 to 9999; give one"
        raise InvalidRequest([Violation(field, text)]) from error


def page_token(request: _Listing, last: str) -> str:
    """Make an opaque token that continues this listing after what it ended with, and no other one."""
    return base64.urlsafe_b64encode(f"{_filter_mark(request)}{last}".encode()).decode()


def after_batch_id(request: batch_service_pb2.ListBatchesRequest) -> str | None:
    """Read the batch after which to continue. Raises InvalidRequest for a token of another listing, or none of ours."""
    return _after(request)


def cluster_token(request: batch_service_pb2.ListFailureClustersRequest, last: FailureCluster) -> str:
    """Make an opaque token that continues behind a cluster."""
    return page_token(request, f"{last.count}/{last.cluster_id}")


def after_cluster(request: batch_service_pb2.ListFailureClustersRequest) -> ClusterPosition | None:
    """Read behind which cluster to continue. Raises InvalidRequest as `after_batch_id` does."""
    last = _after(request)
    if last is None:
        return None
    count, _, cluster_id = last.partition("/")
    if not (count.isascii() and count.isdigit()):
        raise _foreign_token()
    return ClusterPosition(int(count), cluster_id)


def _after(request: _Listing) -> str | None:
    if not request.page_token:
        return None
    try:
        text = base64.urlsafe_b64decode(request.page_token.encode()).decode("ascii")
    except (binascii.Error, UnicodeError):
        text = ""
    mark = _filter_mark(request)
    if not (text.startswith(mark) and text.isprintable()):
        raise _foreign_token()
    return text.removeprefix(mark)


def _foreign_token() -> InvalidRequest:
    description = "was not made by this listing; pass next_page_token of the page before, with the same filters"
    return InvalidRequest([Violation("page_token", description)])


def _filter_mark(request: _Listing) -> str:
    filters: Message = type(request)()
    filters.CopyFrom(request)
    filters.ClearField("page_size")
    filters.ClearField("page_token")
    return _sha256(filters)[:8] + "/"


_Listing = batch_service_pb2.ListBatchesRequest | batch_service_pb2.ListFailureClustersRequest
"""What asks for pages by a token."""
