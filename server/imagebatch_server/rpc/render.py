"""The core's values as messages. Results are assembled from stored bytes and rendered once for all who read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.enums import (
    BATCH_ITEM_STATUS_NUMBERS,
    BATCH_STATUS_NUMBERS,
    ITEM_ERROR_CODE_NUMBERS,
    NOTIFICATION_STATE_NUMBERS,
    WAITING_REASON_NUMBERS,
    ItemErrorCode,
)
from imagebatch_server import structs
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import (
    Batch,
    DailyUsage,
    FailureCluster,
    Item,
    ItemResult,
    NotificationProgress,
    Outcome,
    Waiting,
)
from imagebatch_server.rpc import wire
from imagebatch_server.urls import without_credentials

_RESULT = types_pb2.BatchItemResult
_ITEM_ID = wire.head(_RESULT.ITEM_ID_FIELD_NUMBER)
_ITEM_INDEX = wire.Integer(_RESULT.ITEM_INDEX_FIELD_NUMBER)
_STATUS = wire.Integer(_RESULT.STATUS_FIELD_NUMBER)
_INPUT_DATA = wire.head(_RESULT.INPUT_DATA_FIELD_NUMBER)
_OUTPUT_DATA = wire.head(_RESULT.OUTPUT_DATA_FIELD_NUMBER)
_ERROR_MESSAGE = wire.head(_RESULT.ERROR_MESSAGE_FIELD_NUMBER)
_PROCESSING_TIME_MS = wire.Integer(_RESULT.PROCESSING_TIME_MS_FIELD_NUMBER)
_STORED_IMAGE_URL = wire.head(_RESULT.STORED_IMAGE_URL_FIELD_NUMBER)
_ERROR_CODE = wire.Integer(_RESULT.ERROR_CODE_FIELD_NUMBER)
_SEQUENCE = wire.Integer(_RESULT.SEQUENCE_FIELD_NUMBER)
_ATTEMPTS = wire.Integer(_RESULT.ATTEMPTS_FIELD_NUMBER)
_COMPLETED_AT = wire.head(_RESULT.COMPLETED_AT_FIELD_NUMBER)
_IMAGE_SHA256 = wire.head(_RESULT.IMAGE_SHA256_FIELD_NUMBER)
_STORED_OBJECT_KEY = wire.head(_RESULT.STORED_OBJECT_KEY_FIELD_NUMBER)
_PREVIEW_OBJECT_KEY = wire.head(_RESULT.PREVIEW_OBJECT_KEY_FIELD_NUMBER)
_PREVIEW_URL = wire.head(_RESULT.PREVIEW_URL_FIELD_NUMBER)
_DUPLICATE_OF_INDEX = wire.Integer(_RESULT.DUPLICATE_OF_INDEX_FIELD_NUMBER)

_URL_ENTRY = wire.entry_head("image_url", wire.STRING)
_OBJECT_KEY_ENTRY = wire.entry_head("object_key", wire.STRING)
_SIZE_BYTES_ENTRY = wire.number_entry("size_bytes")
_SHA256_ENTRY = wire.entry_head("sha256", wire.STRING)
_METADATA_ENTRY = wire.entry_head("metadata", wire.STRUCT)

_WATCH_RESULTS = wire.head(batch_service_pb2.WatchBatchResponse.RESULTS_FIELD_NUMBER)
_PAGE_RESULTS = wire.head(types_pb2.BatchResults.RESULTS_FIELD_NUMBER)

FIELD_OVERHEAD_BYTES = 8
"""Tag and length of a message within another, and a little more."""


def timestamp(at: datetime) -> Timestamp:
    """Write a time, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def submission(batch: Batch) -> types_pb2.BatchSubmissionResult:
    """Write what a submit answers."""
    message = types_pb2.BatchSubmissionResult(
        batch_id=batch.batch_id, status=BATCH_STATUS_NUMBERS[batch.status], total_items=batch.total_items
    )
    estimate = lifecycle.estimated_completion_time(batch, datetime.now(UTC))
    if estimate is not None:
        message.estimated_completion_time.FromDatetime(estimate)
    return message


def status(batch: Batch, *, with_parameters: bool) -> types_pb2.BatchStatusResult:
    """Write a batch's status and counters."""
    message = types_pb2.BatchStatusResult(
        batch_id=batch.batch_id,
        status=BATCH_STATUS_NUMBERS[batch.status],
        total_items=batch.total_items,
        processed_items=batch.processed_items,
        successful_items=batch.successful_items,
        failed_items=batch.failed_items,
        success_rate=lifecycle.success_rate(batch),
        progress_percentage=lifecycle.progress_percentage(batch),
        created_at=timestamp(batch.created_at),
        avg_processing_time_ms=lifecycle.avg_processing_time_ms(batch),
        skipped_items=batch.skipped_items,
        operation=batch.options.operation,
        labels=batch.options.labels,
        priority=batch.options.priority,
        failure_counts=batch.failure_counts,
        input_tokens=batch.input_tokens,
        output_tokens=batch.output_tokens,
        canary=batch.options.canary,
        failure_limit=batch.options.failure_limit,
        max_attempts=batch.options.max_attempts,
        request_id=batch.options.request_id,
    )
    message.item_timeout.FromNanoseconds(round(batch.options.item_timeout_s * 1e9))
    found = lifecycle.completion_range(batch, datetime.now(UTC))
    if found is not None:
        message.completion_range.earliest.FromDatetime(found[0])
        message.completion_range.latest.FromDatetime(found[1])
    times = (
        (message.started_at, batch.started_at),
        (message.completed_at, batch.completed_at),
        (message.cancel_requested_at, batch.cancel_requested_at),
        (message.paused_at, batch.paused_at),
        (message.estimated_completion_time, lifecycle.estimated_completion_time(batch, datetime.now(UTC))),
    )
    for field, at in times:
        if at is not None:
            field.FromDatetime(at)
    if with_parameters and batch.options.parameters is not None:
        message.parameters.CopyFrom(Struct.FromString(structs.fit(batch.options.parameters)))
    return message


def add_waiting(message: types_pb2.BatchStatusResult, waiting: Waiting | None) -> None:
    """Write why items of the batch wait, if they do."""
    if waiting is not None:
        message.waiting.reason = WAITING_REASON_NUMBERS[waiting.reason]
        message.waiting.items_ahead = waiting.items_ahead
        message.waiting.detail = waiting.detail
        if waiting.until is not None:
            message.waiting.until.FromDatetime(waiting.until)


def add_notification(message: types_pb2.BatchStatusResult, progress: NotificationProgress | None) -> None:
    """Write how far somebody was told of the batch's end, if anybody is to be."""
    if progress is None:
        return
    message.notification.state = NOTIFICATION_STATE_NUMBERS[progress.state]
    message.notification.attempts = progress.attempts
    if progress.last_http_status is not None:
        message.notification.last_http_status = progress.last_http_status
    if progress.next_at is not None:
        message.notification.next_at.FromDatetime(progress.next_at)


def usage(days: Iterable[DailyUsage]) -> batch_service_pb2.GetUsageResponse:
    """Write what a tenant used; the fields have one name here and there."""
    return batch_service_pb2.GetUsageResponse(
        usage=[batch_service_pb2.DailyUsage(**{**asdict(each), "day": each.day.isoformat()}) for each in days]
    )


def failure_clusters(clusters: Iterable[FailureCluster]) -> batch_service_pb2.ListFailureClustersResponse:
    """Write clusters of failures; a page of the largest has 2 MiB."""
    response = batch_service_pb2.ListFailureClustersResponse()
    for cluster in clusters:
        message = response.clusters.add(
            cluster_id=cluster.cluster_id,
            error_code=ITEM_ERROR_CODE_NUMBERS[cluster.error_code],
            host=cluster.host,
            format=cluster.format,
            message=cluster.message,
            count=cluster.count,
            item_ids=cluster.item_ids,
        )
        for field, at in ((message.first_at, cluster.first_at), (message.last_at, cluster.last_at)):
            if at is not None:
                field.FromDatetime(at)
    return response


def within(statuses: Iterable[types_pb2.BatchStatusResult], max_bytes: int) -> Sequence[types_pb2.BatchStatusResult]:
    """As many statuses as fit a response, at least one if there is one."""
    fitting: list[types_pb2.BatchStatusResult] = []
    left = max_bytes
    for message in statuses:
        left -= message.ByteSize() + FIELD_OVERHEAD_BYTES
        if fitting and left < 0:
            break
        fitting.append(message)
    return fitting


class ResultRenderer:
    """Items as serialised `BatchItemResult`s. `url_of` makes the URL of a tenant's stored object."""

    def __init__(self, url_of: Callable[[str, str], str | None]) -> None:
        self._url_of = url_of
        self._time: tuple[datetime | None, bytes] = (None, b"")

    def __call__(self, tenant: str, result: ItemResult) -> bytes:
        """One item, with its outcome if it has one."""
        item = result.item
        item_id = lifecycle.item_id(result.batch_id, item).encode()
        input_data = _input_data(item)
        parts = [
            _ITEM_ID[len(item_id)], item_id,
            _ITEM_INDEX[item.item_index],
            _STATUS[BATCH_ITEM_STATUS_NUMBERS[result.status]],
            _INPUT_DATA[len(input_data)], input_data,
        ]  # fmt: skip
        if result.outcome is not None and result.sequence is not None and result.completed_at is not None:
            parts += (_SEQUENCE[result.sequence], self._completed_at(result.completed_at))
            self._add_outcome(parts, result.outcome)
        object_key = _shown(result)
        if object_key is not None:
            self._add_url(parts, _STORED_IMAGE_URL, tenant, object_key)
        if result.outcome is not None and result.outcome.preview_object_key is not None:
            parts += _text(_PREVIEW_OBJECT_KEY, result.outcome.preview_object_key)
            self._add_url(parts, _PREVIEW_URL, tenant, result.outcome.preview_object_key)
        return b"".join(parts)

    def _add_url(self, parts: list[bytes], heads: wire.Table, tenant: str, object_key: str) -> None:
        url = self._url_of(tenant, object_key)
        if url is not None:
            parts += _text(heads, url)

    def _add_outcome(self, parts: list[bytes], outcome: Outcome) -> None:
        # By hand, field by field: a loop over what the descriptor says takes twice as long.
        parts.append(_ATTEMPTS[outcome.attempts])
        if outcome.output_data is not None:
            parts += (_OUTPUT_DATA[len(outcome.output_data)], outcome.output_data)
        if outcome.processing_time_ms is not None:
            parts.append(_PROCESSING_TIME_MS[outcome.processing_time_ms])
        if outcome.image_sha256 is not None:
            parts += _text(_IMAGE_SHA256, outcome.image_sha256)
        if outcome.error_code is not None:
            parts.append(_ERROR_CODE[ITEM_ERROR_CODE_NUMBERS[outcome.error_code]])
        if outcome.error_message is not None:
            parts += _text(_ERROR_MESSAGE, outcome.error_message)
        if outcome.duplicate_of_index is not None:
            parts.append(_DUPLICATE_OF_INDEX[outcome.duplicate_of_index])
        if outcome.stored_object_key is not None:
            parts += _text(_STORED_OBJECT_KEY, outcome.stored_object_key)

    def _completed_at(self, at: datetime) -> bytes:
        # All outcomes of a commit have one time, and making it costs as much as all the rest of a result.
        if self._time[0] != at:
            data = timestamp(at).SerializeToString()
            self._time = (at, _COMPLETED_AT[len(data)] + data)
        return self._time[1]


def _shown(result: ItemResult) -> str | None:
    """Choose the stored image that callers are shown: the operation's, else the input, unless it is not there."""
    outcome = result.outcome
    if outcome is None:
        return result.item.object_key
    if outcome.stored_object_key is not None or outcome.error_code is ItemErrorCode.OBJECT_NOT_FOUND:
        return outcome.stored_object_key
    return result.item.object_key


def _input_data(item: Item) -> bytes:
    parts: list[bytes] = []
    if item.image_url is not None:
        parts += _text(_URL_ENTRY, without_credentials(item.image_url))
    if item.object_key is not None:
        parts += _text(_OBJECT_KEY_ENTRY, item.object_key)
    if item.size_bytes is not None:
        parts.append(_SIZE_BYTES_ENTRY(item.size_bytes))
    if item.sha256 is not None:
        parts += _text(_SHA256_ENTRY, item.sha256)
    if item.metadata is not None:
        metadata = structs.fit(item.metadata)  # an earlier release took what parsers and JSON don't
        parts += (_METADATA_ENTRY[len(metadata)], metadata)
    return b"".join(parts)


def _text(heads: wire.Table, text: str) -> tuple[bytes, bytes]:
    data = text.encode()
    return heads[len(data)], data


def watch_response(results: Sequence[bytes], batch: Batch | None, sequence: int) -> bytes:
    """One message of a watch, around results that are serialised already."""
    head = batch_service_pb2.WatchBatchResponse(sequence=sequence)
    if batch is not None:
        head.status.CopyFrom(status(batch, with_parameters=False))
    return b"".join([*_repeated(_WATCH_RESULTS, results), head.SerializeToString()])


def page(batch: Batch, results: Sequence[bytes], *, offset: int, limit: int, total: int, max_bytes: int) -> bytes:
    """One page, with as many of the results as `max_bytes` allows, at least one."""
    fitting = 0
    left = max_bytes
    for result in results:
        left -= len(result) + FIELD_OVERHEAD_BYTES
        if fitting and left < 0:
            break
        fitting += 1
    head = types_pb2.BatchResults(
        batch_id=batch.batch_id,
        status=BATCH_STATUS_NUMBERS[batch.status],
        pagination=types_pb2.BatchResultsPagination(
            offset=offset, limit=limit, total=total, has_more=offset + fitting < total
        ),
        summary=types_pb2.BatchResultsSummary(
            total_items=batch.total_items,
            successful_items=batch.successful_items,
            failed_items=batch.failed_items,
            skipped_items=batch.skipped_items,
            processing_time_ms=batch.processing_time_ms,
        ),
    )
    return b"".join([head.SerializeToString(), *_repeated(_PAGE_RESULTS, results[:fitting])])


def _repeated(heads: wire.Table, messages: Sequence[bytes]) -> list[bytes]:
    parts: list[bytes] = []
    for message in messages:
        parts += (heads[len(message)], message)
    return parts
