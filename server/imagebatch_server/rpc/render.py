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
from imagebatch_server.rpc.wire import VARINT

_RESULT = types_pb2.BatchItemResult
_ITEM_ID = wire.tag(_RESULT.ITEM_ID_FIELD_NUMBER)
_ITEM_INDEX = wire.integer_tag(_RESULT.ITEM_INDEX_FIELD_NUMBER)
_STATUS = {
    status: wire.integer_tag(_RESULT.STATUS_FIELD_NUMBER) + VARINT[number]
    for status, number in BATCH_ITEM_STATUS_NUMBERS.items()
}
_INPUT_DATA = wire.tag(_RESULT.INPUT_DATA_FIELD_NUMBER)
_OUTPUT_DATA = wire.tag(_RESULT.OUTPUT_DATA_FIELD_NUMBER)
_ERROR_MESSAGE = wire.tag(_RESULT.ERROR_MESSAGE_FIELD_NUMBER)
_PROCESSING_TIME_MS = wire.integer_tag(_RESULT.PROCESSING_TIME_MS_FIELD_NUMBER)
_STORED_IMAGE_URL = wire.tag(_RESULT.STORED_IMAGE_URL_FIELD_NUMBER)
_ERROR_CODE = {
    code: wire.integer_tag(_RESULT.ERROR_CODE_FIELD_NUMBER) + VARINT[number]
    for code, number in ITEM_ERROR_CODE_NUMBERS.items()
}
_SEQUENCE = wire.integer_tag(_RESULT.SEQUENCE_FIELD_NUMBER)
_ATTEMPTS = wire.integer_tag(_RESULT.ATTEMPTS_FIELD_NUMBER)
_COMPLETED_AT = wire.tag(_RESULT.COMPLETED_AT_FIELD_NUMBER)
_IMAGE_SHA256 = wire.tag(_RESULT.IMAGE_SHA256_FIELD_NUMBER)
_STORED_OBJECT_KEY = wire.tag(_RESULT.STORED_OBJECT_KEY_FIELD_NUMBER)
_DUPLICATE_OF_INDEX = wire.integer_tag(_RESULT.DUPLICATE_OF_INDEX_FIELD_NUMBER)

_URL_KEY, _OBJECT_KEY, _SIZE_KEY, _SHA256_KEY, _METADATA_KEY = map(
    wire.key, ("image_url", "object_key", "size_bytes", "sha256", "metadata")
)
_WATCH_RESULTS = wire.tag(batch_service_pb2.WatchBatchResponse.RESULTS_FIELD_NUMBER)
_PAGE_RESULTS = wire.tag(types_pb2.BatchResults.RESULTS_FIELD_NUMBER)

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
        item_id = lifecycle.item_id(result.batch_id, item).encode()
        given = _input_data(item)
        parts = [
            _ITEM_ID, VARINT[len(item_id)], item_id,
            _ITEM_INDEX, VARINT[item.item_index],
            _STATUS[result.status],
            _INPUT_DATA, VARINT[len(given)], given,
        ]  # fmt: skip
        if result.sequence is not None and result.completed_at is not None:
            parts += (
                _SEQUENCE, VARINT[result.sequence],
                _ATTEMPTS, VARINT[result.attempts],
                self._completed_at(result.completed_at),
            )  # fmt: skip
            self._add_outcome(parts, result)
        return b"".join(parts)

    def _add_outcome(self, parts: list[bytes], result: ItemResult) -> None:
        if result.output_data is not None:
            parts += (_OUTPUT_DATA, VARINT[len(result.output_data)], result.output_data)
        if result.processing_time_ms is not None:
            parts += (_PROCESSING_TIME_MS, VARINT[result.processing_time_ms])
        if result.image_sha256 is not None:
            parts += _text(_IMAGE_SHA256, result.image_sha256)
        if result.error_code is not None:
            parts.append(_ERROR_CODE[result.error_code])
        if result.error_message is not None:
            parts += _text(_ERROR_MESSAGE, result.error_message)
        if result.duplicate_of_index is not None:
            parts += (_DUPLICATE_OF_INDEX, VARINT[result.duplicate_of_index])
        if result.stored_object_key is not None:
            parts += _text(_STORED_OBJECT_KEY, result.stored_object_key)
            url = self._url_of(result.stored_object_key)
            if url is not None:
                parts += _text(_STORED_IMAGE_URL, url)

    def _completed_at(self, at: datetime) -> bytes:
        # All outcomes of a commit have one time, and making it costs as much as all the rest of a result.
        if self._time[0] != at:
            self._time = (at, _field(_COMPLETED_AT, timestamp(at).SerializeToString()))
        return self._time[1]


def _input_data(item: Item) -> bytes:
    data = b""
    if item.image_url is not None:
        data += wire.entry(_URL_KEY, wire.STRING, item.image_url.encode())
    if item.object_key is not None:
        data += wire.entry(_OBJECT_KEY, wire.STRING, item.object_key.encode())
    if item.size_bytes is not None:
        data += wire.number_entry(_SIZE_KEY, item.size_bytes)
    if item.sha256 is not None:
        data += wire.entry(_SHA256_KEY, wire.STRING, item.sha256.encode())
    if item.metadata is not None:
        data += wire.entry(_METADATA_KEY, wire.STRUCT, item.metadata)
    return data


def _text(tag: bytes, text: str) -> tuple[bytes, bytes, bytes]:
    data = text.encode()
    return tag, VARINT[len(data)], data


def _field(tag: bytes, data: bytes) -> bytes:
    return b"%b%b%b" % (tag, VARINT[len(data)], data)


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


def _repeated(tag: bytes, messages: Sequence[bytes]) -> list[bytes]:
    parts: list[bytes] = []
    for message in messages:
        parts += (tag, VARINT[len(message)], message)
    return parts
