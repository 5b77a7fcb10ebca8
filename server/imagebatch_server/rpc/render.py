"""The core's values as messages. Results are assembled from stored bytes and rendered once for all who read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch.v1.enums import BATCH_ITEM_STATUS_NUMBERS, BATCH_STATUS_NUMBERS, ITEM_ERROR_CODE_NUMBERS
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.model import Batch, Item, ItemResult
from imagebatch_server.rpc import wire

_RESULT = types_pb2.BatchItemResult
_INPUT_DATA = _RESULT.INPUT_DATA_FIELD_NUMBER
_OUTPUT_DATA = _RESULT.OUTPUT_DATA_FIELD_NUMBER
_COMPLETED_AT = _RESULT.COMPLETED_AT_FIELD_NUMBER
_URL_KEY, _OBJECT_KEY, _SIZE_KEY, _SHA256_KEY, _METADATA_KEY = map(
    wire.key, ("image_url", "object_key", "size_bytes", "sha256", "metadata")
)
_WATCH_RESULTS = batch_service_pb2.WatchBatchResponse.RESULTS_FIELD_NUMBER
_PAGE_RESULTS = types_pb2.BatchResults.RESULTS_FIELD_NUMBER

FIELD_OVERHEAD_BYTES = 8
"""Tag and length of a message within another, and a little more."""


def timestamp(at: datetime) -> Timestamp:
    """A time, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def submission(batch: Batch) -> types_pb2.BatchSubmissionResult:
    """What a submit answers."""
    message = types_pb2.BatchSubmissionResult(
        batch_id=batch.batch_id, status=BATCH_STATUS_NUMBERS[batch.status], total_items=batch.total_items
    )
    estimate = lifecycle.estimated_completion_time(batch, datetime.now(UTC))
    if estimate is not None:
        message.estimated_completion_time.FromDatetime(estimate)
    return message


def status(batch: Batch, *, with_parameters: bool) -> types_pb2.BatchStatusResult:
    """A batch's status and counters."""
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
    )
    times = (
        (message.started_at, batch.started_at),
        (message.completed_at, batch.completed_at),
        (message.cancel_requested_at, batch.cancel_requested_at),
        (message.estimated_completion_time, lifecycle.estimated_completion_time(batch, datetime.now(UTC))),
    )
    for field, at in times:
        if at is not None:
            field.FromDatetime(at)
    if with_parameters and batch.options.parameters is not None:
        message.parameters.CopyFrom(Struct.FromString(batch.options.parameters))
    return message


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
    """Items as serialised `BatchItemResult`s. `url_of` makes the URL of a stored object, if the store can."""

    def __init__(self, url_of: Callable[[str], str | None]) -> None:
        self._url_of = url_of
        self._time: tuple[datetime | None, bytes] = (None, b"")

    def __call__(self, result: ItemResult) -> bytes:
        """One item, with its outcome if it has one."""
        item = result.item
        message = _RESULT(
            item_id=lifecycle.item_id(result.batch_id, item),
            item_index=item.item_index,
            status=BATCH_ITEM_STATUS_NUMBERS[result.status],
            error_message=result.error_message,
            processing_time_ms=result.processing_time_ms,
            sequence=result.sequence,
            attempts=result.attempts,
            image_sha256=result.image_sha256,
            stored_object_key=result.stored_object_key,
            duplicate_of_index=result.duplicate_of_index,
        )
        if result.stored_object_key is not None:
            url = self._url_of(result.stored_object_key)
            if url is not None:
                message.stored_image_url = url
        if result.error_code is not None:
            message.error_code = ITEM_ERROR_CODE_NUMBERS[result.error_code]
        data = message.SerializeToString() + wire.field(_INPUT_DATA, _input_data(item))
        if result.completed_at is not None:
            data += self._completed_at(result.completed_at)
        if result.output_data is not None:
            data += wire.field(_OUTPUT_DATA, result.output_data)
        return data

    def _completed_at(self, at: datetime) -> bytes:
        # All outcomes of a commit have one time, and making it costs as much as all the rest of a result.
        if self._time[0] != at:
            self._time = (at, wire.field(_COMPLETED_AT, timestamp(at).SerializeToString()))
        return self._time[1]


def _input_data(item: Item) -> bytes:
    data = b""
    if item.image_url is not None:
        data += wire.entry(_URL_KEY, wire.string_value(item.image_url))
    if item.object_key is not None:
        data += wire.entry(_OBJECT_KEY, wire.string_value(item.object_key))
    if item.size_bytes is not None:
        data += wire.entry(_SIZE_KEY, wire.number_value(item.size_bytes))
    if item.sha256 is not None:
        data += wire.entry(_SHA256_KEY, wire.string_value(item.sha256))
    if item.metadata is not None:
        data += wire.entry(_METADATA_KEY, wire.struct_value(item.metadata))
    return data


def watch_response(results: Sequence[bytes], batch: Batch | None, sequence: int) -> bytes:
    """One message of a watch, around results that are serialised already."""
    head = batch_service_pb2.WatchBatchResponse(sequence=sequence)
    if batch is not None:
        head.status.CopyFrom(status(batch, with_parameters=False))
    return b"".join([*(wire.field(_WATCH_RESULTS, result) for result in results), head.SerializeToString()])


def page(batch: Batch, results: Sequence[bytes], *, offset: int, limit: int, total: int, max_bytes: int) -> bytes:
    """One page, with as many of the results as `max_bytes` allows, at least one."""
    fields: list[bytes] = []
    left = max_bytes
    for result in results:
        data = wire.field(_PAGE_RESULTS, result)
        left -= len(data)
        if fields and left < 0:
            break
        fields.append(data)
    head = types_pb2.BatchResults(
        batch_id=batch.batch_id,
        status=BATCH_STATUS_NUMBERS[batch.status],
        pagination=types_pb2.BatchResultsPagination(
            offset=offset, limit=limit, total=total, has_more=offset + len(fields) < total
        ),
        summary=types_pb2.BatchResultsSummary(
            total_items=batch.total_items,
            successful_items=batch.successful_items,
            failed_items=batch.failed_items,
            skipped_items=batch.skipped_items,
            processing_time_ms=batch.processing_time_ms,
        ),
    )
    return b"".join([head.SerializeToString(), *fields])
