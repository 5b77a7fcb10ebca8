"""From the contract's messages to the public types: one function a type, and no other place does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeVar

from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2
from imagebatch.v1.enums import (
    BATCH_ITEM_STATUS_BY_NUMBER,
    BATCH_STATUS_BY_NUMBER,
    ITEM_ERROR_CODE_BY_NUMBER,
    NOTIFICATION_STATE_BY_NUMBER,
    WAITING_REASON_BY_NUMBER,
)
from imagebatch_client.errors import IncompatibleServerError
from imagebatch_client.structs import dict_from_struct
from imagebatch_client.types import (
    BatchItemResult,
    BatchNotification,
    BatchResults,
    BatchResultsPagination,
    BatchResultsSummary,
    BatchStatusResult,
    BatchSubmissionResult,
    BatchWaiting,
    CompletionRange,
    DailyUsage,
    FailureCluster,
    Operation,
    ServerInfo,
    ServerLimits,
    TokenPrice,
    UploadedImage,
    UploadUrl,
    WatchUpdate,
    WorkerInfo,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
E = TypeVar("E")


def submission_result(message: types_pb2.BatchSubmissionResult) -> BatchSubmissionResult:
    return BatchSubmissionResult(
        batch_id=message.batch_id,
        status=_member(BATCH_STATUS_BY_NUMBER, message.status, "status").value,
        total_items=message.total_items,
        estimated_completion_time=_optional_time(message, "estimated_completion_time"),
    )


def status_result(message: types_pb2.BatchStatusResult) -> BatchStatusResult:
    return BatchStatusResult(
        batch_id=message.batch_id,
        status=_member(BATCH_STATUS_BY_NUMBER, message.status, "status"),
        total_items=message.total_items,
        processed_items=message.processed_items,
        successful_items=message.successful_items,
        failed_items=message.failed_items,
        success_rate=message.success_rate,
        progress_percentage=message.progress_percentage,
        created_at=_optional_time(message, "created_at"),
        started_at=_optional_time(message, "started_at"),
        completed_at=_optional_time(message, "completed_at"),
        estimated_completion_time=_optional_time(message, "estimated_completion_time"),
        avg_processing_time_ms=message.avg_processing_time_ms if message.HasField("avg_processing_time_ms") else None,
        skipped_items=message.skipped_items,
        operation=message.operation,
        parameters=_optional_dict(message, "parameters"),
        labels=dict(message.labels),
        priority=message.priority,
        cancel_requested_at=_optional_time(message, "cancel_requested_at"),
        failure_counts=dict(message.failure_counts),
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
        canary=message.canary if message.HasField("canary") else None,
        failure_limit=message.failure_limit if message.HasField("failure_limit") else None,
        item_timeout=message.item_timeout.ToNanoseconds() / 1e9 if message.HasField("item_timeout") else None,
        max_attempts=message.max_attempts,
        request_id=message.request_id if message.HasField("request_id") else None,
        paused_at=_optional_time(message, "paused_at"),
        waiting=batch_waiting(message.waiting) if message.HasField("waiting") else None,
        completion_range=completion_range(message.completion_range) if message.HasField("completion_range") else None,
        notification=_notification(message.notification) if message.HasField("notification") else None,
    )


def completion_range(message: types_pb2.CompletionRange) -> CompletionRange:
    return CompletionRange(earliest=_time(message.earliest), latest=_time(message.latest))


def batch_waiting(message: types_pb2.BatchWaiting) -> BatchWaiting:
    return BatchWaiting(
        reason=_member(WAITING_REASON_BY_NUMBER, message.reason, "waiting.reason"),
        items_ahead=message.items_ahead,
        until=_optional_time(message, "until"),
        detail=message.detail,
    )


def _notification(message: types_pb2.BatchNotification) -> BatchNotification:
    return BatchNotification(
        state=_member(NOTIFICATION_STATE_BY_NUMBER, message.state, "state"),
        attempts=message.attempts,
        last_http_status=message.last_http_status if message.HasField("last_http_status") else None,
        next_at=_optional_time(message, "next_at"),
    )


@dataclass(frozen=True, slots=True)
class BatchesPage:
    """One page of ListBatches; `next_token` is empty on the last."""

    batches: list[BatchStatusResult]
    next_token: str


def batches_page(message: batch_service_pb2.ListBatchesResponse) -> BatchesPage:
    return BatchesPage([status_result(batch) for batch in message.batches], message.next_page_token)


@dataclass(frozen=True, slots=True)
class ClustersPage:
    """One page of ListFailureClusters; `next_token` is empty on the last."""

    clusters: list[FailureCluster]
    next_token: str


def clusters_page(message: batch_service_pb2.ListFailureClustersResponse) -> ClustersPage:
    return ClustersPage([failure_cluster(each) for each in message.clusters], message.next_page_token)


def failure_cluster(message: batch_service_pb2.FailureCluster) -> FailureCluster:
    return FailureCluster(
        cluster_id=message.cluster_id,
        error_code=_member(ITEM_ERROR_CODE_BY_NUMBER, message.error_code, "error_code"),
        host=message.host,
        format=message.format,
        message=message.message,
        count=message.count,
        first_at=_optional_time(message, "first_at"),
        last_at=_optional_time(message, "last_at"),
        item_ids=list(message.item_ids),
    )


def nothing(_: batch_service_pb2.DeleteBatchResponse | batch_service_pb2.DeleteTenantResponse) -> None:
    """Read what a call answers that only succeeds or fails."""


def item_result(message: types_pb2.BatchItemResult) -> BatchItemResult:
    has, code = message.HasField, message.error_code
    return BatchItemResult(
        item_id=message.item_id,
        item_index=message.item_index,
        status=_member(BATCH_ITEM_STATUS_BY_NUMBER, message.status, "status"),
        input_data=dict_from_struct(message.input_data) if has("input_data") else None,
        output_data=dict_from_struct(message.output_data) if has("output_data") else None,
        error_message=message.error_message if has("error_message") else None,
        processing_time_ms=message.processing_time_ms if has("processing_time_ms") else None,
        stored_image_url=message.stored_image_url if has("stored_image_url") else None,
        error_code=_member(ITEM_ERROR_CODE_BY_NUMBER, code, "error_code") if code else None,
        sequence=message.sequence if has("sequence") else None,
        attempts=message.attempts,
        completed_at=_time(message.completed_at) if has("completed_at") else None,
        image_sha256=message.image_sha256 if has("image_sha256") else None,
        stored_object_key=message.stored_object_key if has("stored_object_key") else None,
        duplicate_of_index=message.duplicate_of_index if has("duplicate_of_index") else None,
        preview_url=message.preview_url if has("preview_url") else None,
        preview_object_key=message.preview_object_key if has("preview_object_key") else None,
    )


def results_page(message: types_pb2.BatchResults) -> BatchResults:
    return BatchResults(
        batch_id=message.batch_id,
        status=_member(BATCH_STATUS_BY_NUMBER, message.status, "status"),
        results=[item_result(result) for result in message.results],
        pagination=results_pagination(message.pagination),
        summary=results_summary(message.summary),
    )


def results_pagination(message: types_pb2.BatchResultsPagination) -> BatchResultsPagination:
    return BatchResultsPagination(
        offset=message.offset, limit=message.limit, total=message.total, has_more=message.has_more
    )


def results_summary(message: types_pb2.BatchResultsSummary) -> BatchResultsSummary:
    return BatchResultsSummary(
        total_items=message.total_items,
        successful_items=message.successful_items,
        failed_items=message.failed_items,
        skipped_items=message.skipped_items,
        processing_time_ms=message.processing_time_ms,
    )


def watch_update(message: batch_service_pb2.WatchBatchResponse) -> WatchUpdate:
    return WatchUpdate(
        results=[item_result(result) for result in message.results],
        status=status_result(message.status) if message.HasField("status") else None,
        sequence=message.sequence,
    )


def operations(message: batch_service_pb2.ListOperationsResponse) -> list[Operation]:
    return [operation(each) for each in message.operations]


def operation(message: batch_service_pb2.Operation) -> Operation:
    return Operation(
        name=message.name,
        version=message.version,
        description=message.description,
        parameters_schema=_optional_dict(message, "parameters_schema"),
        output_schema=_optional_dict(message, "output_schema"),
    )


def server_info(message: batch_service_pb2.GetServerInfoResponse) -> ServerInfo:
    return ServerInfo(
        version=message.version,
        limits=server_limits(message.limits),
        workers=WorkerInfo(alive=message.workers.alive, restarted=message.workers.restarted),
        draining=message.draining,
        features=list(message.features),
        image_formats=list(message.image_formats),
        token_prices=[
            TokenPrice(
                name=price.name,
                input_per_million=price.input_per_million,
                output_per_million=price.output_per_million,
                currency=price.currency,
            )
            for price in message.token_prices
        ],
    )


def server_limits(message: batch_service_pb2.ServerLimits) -> ServerLimits:
    return ServerLimits(
        max_items_per_submit=message.max_items_per_submit,
        max_items_per_batch=message.max_items_per_batch,
        max_image_bytes=message.max_image_bytes,
        max_image_pixels=message.max_image_pixels,
        max_redirects=message.max_redirects,
        max_running_batches=message.max_running_batches,
        max_request_bytes=message.max_request_bytes,
        max_response_bytes=message.max_response_bytes,
        max_metadata_bytes=message.max_metadata_bytes,
        max_parameters_bytes=message.max_parameters_bytes,
        max_output_bytes=message.max_output_bytes,
        max_error_message_bytes=message.max_error_message_bytes,
        max_image_url_characters=message.max_image_url_characters,
        max_calls=message.max_calls,
        max_transfers=message.max_transfers,
        max_transfer_idle_ms=message.max_transfer_idle_ms,
        max_watches=message.max_watches,
        max_connections=message.max_connections,
        max_waiting_items=message.max_waiting_items,
        max_stored_bytes=message.max_stored_bytes,
        max_requests_per_s=message.max_requests_per_s,
        max_requests_burst=message.max_requests_burst,
        max_streams_per_principal=message.max_streams_per_principal,
        max_calls_per_principal=message.max_calls_per_principal,
        max_connections_per_principal=message.max_connections_per_principal,
        max_failed_attempts_per_minute=message.max_failed_attempts_per_minute,
    )


def usage(message: batch_service_pb2.GetUsageResponse) -> list[DailyUsage]:
    return [daily_usage(each) for each in message.usage]


def daily_usage(message: batch_service_pb2.DailyUsage) -> DailyUsage:
    return DailyUsage(
        day=message.day,
        operation=message.operation,
        items=message.items,
        processing_time_ms=message.processing_time_ms,
        image_bytes=message.image_bytes,
        input_tokens=message.input_tokens,
        output_tokens=message.output_tokens,
    )


def upload_url(message: image_service_pb2.CreateUploadUrlResponse) -> UploadUrl:
    return UploadUrl(
        object_key=message.object_key,
        url=message.url,
        headers=dict(message.headers),
        expires_at=_time(message.expires_at),
    )


def uploaded_image(message: image_service_pb2.UploadImageResponse) -> UploadedImage:
    return UploadedImage(
        object_key=message.object_key,
        sha256=message.sha256,
        size_bytes=message.size_bytes,
        width=message.width if message.HasField("width") else None,
        height=message.height if message.HasField("height") else None,
        format=message.format if message.HasField("format") else None,
    )


def _member(members: Mapping[int, E], number: int, field: str) -> E:
    try:
        return members[number]
    except KeyError:
        raise IncompatibleServerError(
            f"{field}: the server answered {number}, which this version of imagebatch does not know; "
            "upgrade the client to the server's version"
        ) from None


def _time(message: Timestamp) -> datetime:
    return _moment(message.seconds, message.nanos)


@lru_cache(maxsize=64)  # all outcomes of a commit have one time
def _moment(seconds: int, nanos: int) -> datetime:
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _optional_time(message: Message, field: str) -> datetime | None:
    return _time(getattr(message, field)) if message.HasField(field) else None


def _optional_dict(message: Message, field: str) -> dict[str, object] | None:
    if not message.HasField(field):
        return None
    struct: Struct = getattr(message, field)
    return dict_from_struct(struct)
