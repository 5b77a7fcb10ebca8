"""The vocabulary of the core: frozen values that the store, the workers and the servicers exchange.

Metadata, parameters and outputs travel as the bytes of a serialised `google.protobuf.Struct`: they are turned from and
into dictionaries once, at the edges, and the core never looks inside. What there is one of for every item is a
`msgspec.Struct`, which is made in a tenth of the time that a frozen dataclass takes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode, NotificationState, WaitingReason

RESULT_OVERHEAD_BYTES = 640
"""Room for a result's ids, hashes, keys, times and numbers."""


STORED_IMAGE_URL_BYTES = 320
"""Room for the URL of a stored image: the public URL, tenant, key and signature."""


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is to be run, defaults filled in."""

    operation: str
    parameters: bytes | None
    labels: Mapping[str, str]
    priority: int
    item_timeout_s: float
    max_attempts: int
    request_id: str | None = None
    skip_duplicates: bool = False
    canary: int | None = None
    """Items, picked at random, that run before the others."""
    failure_limit: float | None = None
    """The share of failures past which the rest is skipped."""
    output_prefix: str | None = None
    """The URL of a bucket's prefix that the operation's images go to; absent: the service's own store."""
    notify_url: str | None = None
    """Where to tell that the batch has ended."""


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """What a server says of one of its operations; schemas are JSON Schema 2020-12."""

    name: str
    version: str
    description: str
    parameters_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]


class BlobName(NamedTuple):
    """By what a blob is read. Anybody may name any key: it counts for the tenant that it is of, and for no other."""

    tenant: str
    object_key: str


@dataclass(frozen=True, slots=True)
class StoredObject:
    """The row of one blob."""

    tenant: str
    object_key: str
    sha256: str
    size_bytes: int
    content_type: str
    file_name: str
    created_at: datetime

    @property
    def blob(self) -> BlobName:
        """By what its bytes are read."""
        return BlobName(self.tenant, self.object_key)


HEAD_BYTES = 64 * 1024
"""How much of a file's start is enough to tell its `ImageHeader`."""


@dataclass(frozen=True, slots=True)
class UploadUrl:
    """Where an image can be uploaded: the URL to PUT it to, the headers that the PUT must carry, and until when."""

    url: str
    headers: Mapping[str, str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that URLs are signed with; the numbers count up."""

    number: int
    secret: bytes = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file's header says, before any rotation (pixels)."""

    width: int
    height: int
    format: str


class Item(msgspec.Struct, frozen=True, gc=False):
    """One item as submitted; exactly one of `image_url` and `object_key` is set.

    `size_bytes` and `sha256` are set where the image was given as base64 and stored under `object_key`.
    `duplicate_of_index` names the same item's lowest index, where duplicates are skipped.
    """

    item_index: int
    item_id: str | None
    image_url: str | None
    object_key: str | None
    size_bytes: int | None
    sha256: str | None
    declared_type: str | None
    metadata: bytes | None
    content_key: bytes | None = None
    """What items that are the same have in common; set where duplicates are skipped."""
    duplicate_of_index: int | None = None

    @property
    def is_fetched(self) -> bool:
        """Whether running it begins with a fetch."""
        return self.image_url is not None and self.duplicate_of_index is None


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How one item ended: SUCCESS, FAILED or SKIPPED.

    The fields before `image_bytes` have the names, and but for the last the order, of their columns in the table of
    outcomes, and those that callers see the names of their fields in the contract. A child makes it and sends it by
    position; rows are written by position too.
    """

    item_index: int
    status: BatchItemStatus
    error_code: ItemErrorCode | None = None
    error_message: str | None = None
    output_data: bytes | None = None
    processing_time_ms: int | None = None
    attempts: int = 0
    image_sha256: str | None = None
    stored_object_key: str | None = None
    """Of the image that the operation made, if it made one; its row is committed with the outcome."""
    duplicate_of_index: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    preview_object_key: str | None = None
    """Of the small picture of the image, if one was made; likewise."""
    image_bytes: int = 0
    """Of the image that was processed, as the executor got it; it counts as usage and is not kept with the outcome."""
    image_format: str | None = None
    """Of an image that failed, as its bytes tell; its cluster is told by it."""


class ItemResult(msgspec.Struct, frozen=True, gc=False):
    """One item and its outcome, if it has one; `sequence` and `completed_at` are set with the outcome."""

    batch_id: str
    item: Item
    outcome: Outcome | None = None
    sequence: int | None = None
    completed_at: datetime | None = None
    is_processing: bool = False
    """Whether a worker is busy with it; only the server that runs the batch knows."""

    @property
    def status(self) -> BatchItemStatus:
        """Where the item stands."""
        if self.outcome is not None:
            return self.outcome.status
        return BatchItemStatus.PROCESSING if self.is_processing else BatchItemStatus.PENDING

    @property
    def size_bytes(self) -> int:
        """About what the result takes on the wire."""
        item, outcome = self.item, self.outcome
        size = RESULT_OVERHEAD_BYTES + len(item.image_url or "") + len(item.metadata or b"")
        if item.object_key is not None or (outcome is not None and outcome.stored_object_key is not None):
            size += STORED_IMAGE_URL_BYTES
        if outcome is not None:
            if outcome.preview_object_key is not None:
                size += STORED_IMAGE_URL_BYTES
            size += len(outcome.output_data or b"") + len(outcome.error_message or "")
        return size


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why items of a batch wait, in words that callers may see."""

    reason: WaitingReason
    items_ahead: int = 0
    until: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch's row: what was asked, who owns it, and its counters, consistent with each other."""

    tenant: str
    batch_id: str
    options: BatchOptions
    status: BatchStatus
    total_items: int
    successful_items: int
    failed_items: int
    skipped_items: int
    failure_counts: Mapping[str, int]
    processing_time_ms: int
    timed_items: int
    input_tokens: int
    output_tokens: int
    last_sequence: int
    owner: str
    """The server that works on it, or last did."""
    owner_epoch: int
    """Raised whenever the owner changes or the batch is reopened: what is written at an older one is refused."""
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    outcomes_per_s: float | None
    """Rate over the last 60 s when `rated_at` was written; None until 20 outcomes, and after a pause or a retry."""
    rated_at: datetime | None
    judged_from_successful: int = 0
    """`successful_items` when the batch was submitted or last retried: `failure_limit` judges what came after."""
    judged_from_failed: int = 0
    """`failed_items` likewise."""
    paused_at: datetime | None = None
    """Set while the batch is paused; none that has ended is."""
    traceparent: str | None = None
    """The span of its submit, as W3C Trace Context writes it: its items belong to that trace."""
    rate_error: float | None = None
    """By what part `outcomes_per_s` may be off."""
    waiting: Waiting | None = None
    """Why items wait, as its owner wrote a second ago or so; it says nothing of a batch that is paused or has ended."""

    @property
    def processed_items(self) -> int:
        """Items that have an outcome."""
        return self.successful_items + self.failed_items + self.skipped_items


@dataclass(frozen=True, slots=True)
class Notification:
    """One attempt to tell a receiver of one end of a batch."""

    tenant: str
    batch_id: str
    last_sequence: int
    """The batch's when it ended: it tells one end of a batch from another."""
    notify_url: str
    host: str
    body: bytes
    attempts: int
    """How many were begun, this one included."""

    @property
    def webhook_id(self) -> str:
        """What the receiver tells a repeat by."""
        return f"msg_{self.batch_id}_{self.last_sequence}"


@dataclass(frozen=True, slots=True)
class NotificationProgress:
    """How far a receiver has been told of one end of a batch."""

    state: NotificationState
    attempts: int
    last_http_status: int | None
    next_at: datetime | None


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """What one attempt to tell a receiver came to."""

    status: int | None
    """The HTTP status; None if there was no answer."""
    retry_after_s: float | None
    problem: str
    """For the operator, if the status is not 2xx."""


NOBODY = ""
"""The owner of a batch that any server may take."""


@dataclass(frozen=True, slots=True)
class TenantCalls:
    """What a server tells the others of a tenant's calls, that they may keep to its quota together."""

    asked_per_s: float
    """How often it calls there, lately."""
    taken: int
    """How many of its calls were let in, since the server began to count."""


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server as it last told of itself, a second ago or so."""

    server_id: str
    operations: Collection[str]
    workers: int
    waiting_items: int
    """Items of the batches that it runs which are neither in flight nor recorded."""
    draining: bool = False
    """Whether it is about to stop, and takes nothing any more."""
    calls: Mapping[str, TenantCalls] = field(default_factory=dict)
    """By tenant, those that ask for much of what they may."""

    @property
    def load(self) -> float:
        """How many items wait for each worker; what is below 1 is room."""
        return self.waiting_items / max(self.workers, 1)


@dataclass(frozen=True, slots=True)
class Load:
    """What a server tells the others again and again of how busy it is; the fields are as `LiveServer` has them."""

    workers: int = 0
    waiting_items: int = 0
    calls: Mapping[str, TenantCalls] = field(default_factory=dict)


class Dispatch(msgspec.Struct, frozen=True, gc=False):
    """One attempt at one item, handed to an executor.

    An outcome counts only if the dispatch it answers is still the outstanding one for its item; `owner_epoch` and
    `attempt` tell them apart.
    """

    tenant: str
    batch_id: str
    owner_epoch: int
    attempt: int
    item: Item
    operation: str
    parameters: bytes | None
    timeout_s: float
    lane: str
    """The executor's lane that its operation runs in with these parameters."""
    turn_ms: float = 0.0
    """Where its tenant stood when its turn came: of several tenants' attempts in a lane, the lowest goes first."""
    output_prefix: str | None = None
    """Where an image goes that the operation makes, if not to the service's own store."""
    traceparent: str | None = None
    """The batch's."""


class AttemptResult(msgspec.Struct, frozen=True, gc=False):
    """What an attempt came to: the item's outcome, SUCCESS or FAILED, unless it is attempted again."""

    dispatch: Dispatch
    outcome: Outcome
    objects: tuple[StoredObject, ...] = ()
    """The rows of the images that the outcome names; their blobs are durable already."""
    transient: bool = False
    """Whether another attempt may help; only meaningful with an error."""
    busy: bool = False
    """Whether somebody had too much to do for it: it does not count, and the item waits for them."""
    retry_after_s: float | None = None
    """How long another attempt has to wait at the least."""


@dataclass(frozen=True, slots=True)
class FailureCluster:
    """Failed items of one batch that failed in the same way; `item_ids` are some of theirs.

    The times are None where an earlier release, which kept no clusters, recorded some of them.
    """

    cluster_id: str
    error_code: ItemErrorCode
    host: str
    format: str
    message: str
    count: int
    first_at: datetime | None
    last_at: datetime | None
    item_ids: Sequence[str] = ()


class ClusterPosition(NamedTuple):
    """Where a cluster stands among those of its batch, largest first."""

    size: int
    cluster_id: str


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """Which items a retry reopens: of these codes, with these ids, of this cluster; empty means any. All must match.

    A repeat of `request_id` reopens nothing; `content_sha256` tells whether it asks for the same.
    """

    error_codes: Sequence[ItemErrorCode] = ()
    item_ids: Sequence[str] = ()
    cluster_id: str | None = None
    request_id: str | None = None
    content_sha256: str = ""


@dataclass(frozen=True, slots=True)
class BatchChange:
    """What an update sets of a batch's options; None leaves it as it is."""

    priority: int | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class DailyUsage:
    """What a tenant used of one operation in one day (UTC); skipped items are not counted."""

    day: date
    operation: str
    items: int
    processing_time_ms: int
    image_bytes: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class BatchFilter:
    """Which batches a listing shows; empty or None means any. All parts must match."""

    statuses: Sequence[BatchStatus] = ()
    operation: str | None = None
    labels: Mapping[str, str] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items a page shows; empty means any. All parts must match.

    PENDING in `statuses` stands for every item without an outcome. `text` is looked for in messages and outputs.
    """

    statuses: Sequence[BatchItemStatus] = ()
    item_ids: Sequence[str] = ()
    include_failed: bool = True
    error_codes: Sequence[ItemErrorCode] = ()
    text: str | None = None
