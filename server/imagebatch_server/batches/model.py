"""The vocabulary of the core: frozen values that the store, the workers and the servicers exchange.

Metadata, parameters and outputs travel as the bytes of a serialised `google.protobuf.Struct`: they are turned from and
into dictionaries once, at the edges, and the core never looks inside. What there is one of for every item is a
`msgspec.Struct`, which is made in a tenth of the time that a frozen dataclass takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, ItemErrorCode

RESULT_OVERHEAD_BYTES = 640
"""Room for a result's ids, hashes, keys, times and numbers."""


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


@dataclass(frozen=True, slots=True)
class OperationInfo:
    """What a server says of one of its operations; schemas are JSON Schema 2020-12."""

    name: str
    version: str
    description: str
    parameters_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]


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


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How one item ended: SUCCESS, FAILED or SKIPPED."""

    item_index: int
    status: BatchItemStatus
    error_code: ItemErrorCode | None = None
    error_message: str | None = None
    output_data: bytes | None = None
    processing_time_ms: int | None = None
    attempts: int = 0
    image_sha256: str | None = None
    stored_object: StoredObject | None = None
    duplicate_of_index: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class ItemResult(msgspec.Struct, frozen=True, gc=False):
    """One item with its outcome, if it has one; `sequence` and `completed_at` are set with the outcome.

    Of the stored object only its key is needed to read a result.
    """

    batch_id: str
    item: Item
    status: BatchItemStatus = BatchItemStatus.PENDING
    error_code: ItemErrorCode | None = None
    error_message: str | None = None
    output_data: bytes | None = None
    processing_time_ms: int | None = None
    attempts: int = 0
    image_sha256: str | None = None
    stored_object_key: str | None = None
    duplicate_of_index: int | None = None
    sequence: int | None = None
    completed_at: datetime | None = None

    @property
    def size_bytes(self) -> int:
        """About what the result takes on the wire."""
        item = self.item
        given_bytes = len(item.image_url or "") + len(item.metadata or b"")
        return RESULT_OVERHEAD_BYTES + given_bytes + len(self.output_data or b"") + len(self.error_message or "")


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
    owner_epoch: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cancel_requested_at: datetime | None
    outcomes_per_s: float | None
    """Rate over the last 60 s when `rated_at` was written; None until 20 outcomes."""
    rated_at: datetime | None
    judged_from_successful: int = 0
    """`successful_items` when the batch was submitted or last retried: `failure_limit` judges what came after."""
    judged_from_failed: int = 0
    """`failed_items` likewise."""

    @property
    def processed_items(self) -> int:
        """Items that have an outcome."""
        return self.successful_items + self.failed_items + self.skipped_items


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


class AttemptResult(msgspec.Struct, frozen=True, gc=False):
    """What an attempt came to: `output_data` if it succeeded, else an error."""

    dispatch: Dispatch
    processing_time_ms: int
    image_sha256: str | None = None
    output_data: bytes | None = None
    stored_object: StoredObject | None = None
    error_code: ItemErrorCode | None = None
    error_message: str | None = None
    transient: bool = False
    """Whether another attempt may help; only meaningful with an error."""
    retry_after_s: float | None = None
    """How long another attempt has to wait at the least."""
    input_tokens: int = 0
    output_tokens: int = 0


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

    PENDING in `statuses` stands for every item without an outcome.
    """

    statuses: Sequence[BatchItemStatus] = ()
    item_ids: Sequence[str] = ()
    include_failed: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether every item matches."""
        return not self.statuses and not self.item_ids and self.include_failed
