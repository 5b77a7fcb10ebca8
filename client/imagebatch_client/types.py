"""The public vocabulary: what the server answers and what a caller submits, as frozen dataclasses.

Field names are those of the contract (`protos/imagebatch/v1`), from the wire to here. Times are aware datetimes in UTC;
absence is None, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from imagebatch.v1.enums import (
    BatchItemStatus,
    BatchStatus,
    ErrorReason,
    ItemErrorCode,
    NotificationState,
    WaitingReason,
)
from imagebatch_client.records import Record, html_table, rows

__all__ = [
    "BatchExport",
    "BatchImageInput",
    "BatchItemResult",
    "BatchItemStatus",
    "BatchNotification",
    "BatchResults",
    "BatchResultsPagination",
    "BatchResultsSummary",
    "BatchStatus",
    "BatchStatusResult",
    "BatchSubmissionResult",
    "BatchWaiting",
    "CompletionRange",
    "DailyUsage",
    "DownloadedImage",
    "ErrorReason",
    "FailureCluster",
    "ItemErrorCode",
    "NotificationState",
    "Operation",
    "ServerInfo",
    "ServerLimits",
    "SubmitOptions",
    "UploadProgress",
    "UploadUrl",
    "UploadedImage",
    "WaitingReason",
    "WatchUpdate",
    "WorkerInfo",
]

_RUNNING = frozenset({BatchStatus.PENDING, BatchStatus.PROCESSING})


@dataclass(frozen=True, slots=True)
class BatchImageInput(Record):
    """One image to work on: exactly one of `image_url`, `image_base64` and `object_key`.

    `image_base64` is a data URL, `data:image/<type>;base64,<data>`. `item_id` is the caller's own key, unique in its
    batch; `metadata` is the caller's own data, given to the operation and echoed in the result's `input_data`.
    """

    image_url: str | None = None
    image_base64: str | None = None
    object_key: str | None = None
    metadata: dict[str, Any] | None = None
    item_id: str | None = None


@dataclass(frozen=True, slots=True)
class BatchSubmissionResult(Record):
    """What a submit answers once the batch is durable; `status` is typically "pending"."""

    batch_id: str
    status: str
    total_items: int
    estimated_completion_time: datetime | None


@dataclass(frozen=True, slots=True)
class BatchWaiting(Record):
    """Why items of a batch wait, as of a second ago or two.

    `items_ahead` are of the caller's tenant. `until` is when it may go on, as far as that is known; `detail` is for a
    person to read, and may be empty.
    """

    reason: WaitingReason
    items_ahead: int
    until: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class CompletionRange(Record):
    """Between which times a batch ends, in four cases of five."""

    earliest: datetime
    latest: datetime


@dataclass(frozen=True, slots=True)
class BatchNotification(Record):
    """How far the receiver at `notify_url` was told of the batch's last end; `next_at` is None unless it is pending."""

    state: NotificationState
    attempts: int
    last_http_status: int | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchStatusResult(Record):
    """A batch's status and counters, consistent with each other.

    `success_rate` is successful / processed (0 to 1), `progress_percentage` 100 * processed / total. `parameters` is
    None in what a watch and `list_batches` give, and so is `waiting`. Keys of `failure_counts` are values of
    ItemErrorCode, such as "fetch_failed".
    """

    batch_id: str
    status: BatchStatus
    total_items: int
    processed_items: int
    successful_items: int
    failed_items: int
    success_rate: float
    progress_percentage: float
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    estimated_completion_time: datetime | None
    avg_processing_time_ms: int | None
    skipped_items: int = 0
    operation: str = ""
    parameters: dict[str, Any] | None = None
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 5
    cancel_requested_at: datetime | None = None
    failure_counts: dict[str, int] = field(default_factory=dict)
    input_tokens: int = 0
    output_tokens: int = 0
    canary: int | None = None
    failure_limit: float | None = None
    item_timeout: float | None = None
    max_attempts: int = 0
    request_id: str | None = None
    paused_at: datetime | None = None
    waiting: BatchWaiting | None = None
    completion_range: CompletionRange | None = None
    notification: BatchNotification | None = None

    def _repr_html_(self) -> str:
        lines = [(name, value) for name, value in self.to_dict().items() if value not in (None, {}, "")]
        return html_table(f"Batch {self.batch_id}", ("field", "value"), lines)

    def is_terminal(self) -> bool:
        """Whether every item has its outcome, so that only a retry changes the batch again."""
        return self.status not in _RUNNING


@dataclass(frozen=True, slots=True)
class BatchItemResult(Record):
    """One item and, once it has one, its outcome. `sequence` is None while there is no outcome."""

    item_id: str
    item_index: int
    status: BatchItemStatus
    input_data: dict[str, Any] | None
    output_data: dict[str, Any] | None
    error_message: str | None
    processing_time_ms: int | None
    stored_image_url: str | None
    error_code: ItemErrorCode | None = None
    sequence: int | None = None
    attempts: int = 0
    completed_at: datetime | None = None
    image_sha256: str | None = None
    stored_object_key: str | None = None
    duplicate_of_index: int | None = None
    preview_url: str | None = None
    preview_object_key: str | None = None

    @property
    def description(self) -> str | None:
        """The output's `description`, or None if the operation gives none."""
        value = (self.output_data or {}).get("description")
        return value if isinstance(value, str) else None

    @property
    def confidence_score(self) -> float | None:
        """The output's `confidence_score` (0 to 1), or None if the operation gives none."""
        value = (self.output_data or {}).get("confidence_score")
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    @property
    def is_verified(self) -> bool | None:
        """The output's `is_verified`, or None if the operation gives none."""
        value = (self.output_data or {}).get("is_verified")
        return value if isinstance(value, bool) else None


@dataclass(frozen=True, slots=True)
class BatchResultsPagination(Record):
    """Where a page stands among the `total` items that match."""

    offset: int
    limit: int
    total: int
    has_more: bool


@dataclass(frozen=True, slots=True)
class BatchResultsSummary(Record):
    """A batch's counters; `processing_time_ms` is the sum of its items', not wall time."""

    total_items: int
    successful_items: int
    failed_items: int
    skipped_items: int
    processing_time_ms: int


@dataclass(frozen=True, slots=True)
class BatchResults(Record):
    """One page of a batch's items, in index order. May hold fewer than `pagination.limit`: advance by what came."""

    batch_id: str
    status: BatchStatus
    results: list[BatchItemResult]
    pagination: BatchResultsPagination
    summary: BatchResultsSummary

    def rows(self) -> list[dict[str, Any]]:
        """Make flat dicts of this page's items: see `imagebatch_client.rows`."""
        return rows(self.results)

    def _repr_html_(self) -> str:
        lines = [
            (
                item.item_index,
                item.item_id,
                item.status.value,
                item.description or item.error_message or item.output_data,
            )
            for item in self.results
        ]
        first, last = self.pagination.offset, self.pagination.offset + len(self.results)
        title = f"Batch {self.batch_id}, {self.status.value}: items {first} to {last} of {self.pagination.total}"
        return html_table(title, ("#", "item_id", "status", "outcome"), lines)

    def successful_results(self) -> list[BatchItemResult]:
        """Pick this page's items whose outcome is success."""
        return [result for result in self.results if result.status is BatchItemStatus.SUCCESS]

    def failed_results(self) -> list[BatchItemResult]:
        """Pick this page's items whose outcome is failed."""
        return [result for result in self.results if result.status is BatchItemStatus.FAILED]


@dataclass(frozen=True, slots=True)
class FailureCluster(Record):
    """Failed items of one batch that failed in the same way; `cluster_id` is what `retry` takes.

    `host` and `format` are empty where none is known, and `message` has `*` for each part that changes. `item_ids` are
    some of the items'. The times are None where an earlier release of the server recorded some of them.
    """

    cluster_id: str
    error_code: ItemErrorCode
    host: str
    format: str
    message: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    item_ids: list[str]


@dataclass(frozen=True, slots=True)
class WatchUpdate(Record):
    """One message of a watch: outcomes in sequence order, a status that may be newer, and where to resume.

    Once `results` are dealt with, `sequence` is the `after_sequence` that loses and repeats nothing.
    """

    results: list[BatchItemResult]
    status: BatchStatusResult | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Operation(Record):
    """An operation that the server offers; the schemas are JSON Schemas (2020-12)."""

    name: str
    version: str
    description: str
    parameters_schema: dict[str, Any] | None
    output_schema: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ServerLimits(Record):
    """The limits in force at the server for the caller's tenant; 0 is no limit, or one that an older server has not."""

    max_items_per_submit: int
    max_items_per_batch: int
    max_image_bytes: int
    max_image_pixels: int
    max_redirects: int
    max_running_batches: int
    max_request_bytes: int
    max_response_bytes: int
    max_metadata_bytes: int
    max_parameters_bytes: int
    max_output_bytes: int
    max_error_message_bytes: int
    max_image_url_characters: int
    max_calls: int = 0
    max_transfers: int = 0
    max_transfer_idle_ms: int = 0
    max_watches: int = 0
    max_connections: int = 0
    max_waiting_items: int = 0
    max_stored_bytes: int = 0
    max_requests_per_s: float = 0.0
    max_requests_burst: int = 0
    max_streams_per_principal: int = 0
    max_calls_per_principal: int = 0
    max_connections_per_principal: int = 0
    max_failed_attempts_per_minute: int = 0


@dataclass(frozen=True, slots=True)
class WorkerInfo(Record):
    """The server's worker processes: alive now, and replaced since it started."""

    alive: int
    restarted: int


@dataclass(frozen=True, slots=True)
class ServerInfo(Record):
    """The server's version, limits and health, and what it has beyond the first release of the contract."""

    version: str
    limits: ServerLimits
    workers: WorkerInfo
    draining: bool
    features: list[str] = field(default_factory=list)
    image_formats: list[str] = field(default_factory=list)
    token_prices: list[TokenPrice] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TokenPrice(Record):
    """What a million tokens of one model, or of one operation, cost, in a currency such as "USD"."""

    name: str
    input_per_million: float
    output_per_million: float
    currency: str


@dataclass(frozen=True, slots=True)
class DailyUsage(Record):
    """What a tenant used of one operation in one day (UTC, as in "2026-01-31"); skipped items are not counted."""

    day: str
    operation: str
    items: int
    processing_time_ms: int
    image_bytes: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class UploadUrl(Record):
    """Where one image can be uploaded by HTTP: PUT it to `url` with these headers, before `expires_at`."""

    object_key: str
    url: str
    headers: dict[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UploadedImage(Record):
    """What an upload stored. Width, height and format are None if the file's header was not understood."""

    object_key: str
    sha256: str
    size_bytes: int
    width: int | None
    height: int | None
    format: str | None


@dataclass(frozen=True, slots=True)
class UploadProgress(Record):
    """How far the upload of several files has come."""

    files: int
    total_files: int
    size_bytes: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class BatchExport(Record):
    """How far an export has come; `waiting_items` of its `items` had no outcome when they were read."""

    path: str
    items: int
    total_items: int
    waiting_items: int


class SubmitOptions(TypedDict, total=False):
    """What `submit` takes besides the operation and the items; absent is the contract's default."""

    parameters: Mapping[str, Any] | None
    request_id: str | UUID | None
    labels: Mapping[str, str] | None
    priority: int | None
    skip_duplicates: bool
    item_timeout: float | None
    max_attempts: int | None
    canary: int | None
    failure_limit: float | None
    output_prefix: str | None
    notify_url: str | None


@dataclass(frozen=True, slots=True)
class DownloadedImage:
    """A stored image with what is known of it; `content_type` and `file_name` are empty if the upload gave none."""

    content_type: str
    file_name: str
    sha256: str
    size_bytes: int
    content: bytes = field(repr=False)
