"""The contract's enums, one name from the wire to the row. Generated from the protos by `make generate`; do not edit.

`X_BY_NUMBER` gives the member for a number on the wire, `X_NUMBERS` the number for a member. The zero value,
UNSPECIFIED, has no member: absence is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:  # the numbers have the stubs' types, and still nothing here loads protobuf
    from imagebatch.v1 import types_pb2


class ErrorReason(StrEnum):
    """The vocabulary of `google.rpc.ErrorInfo.reason`. Every error that this service makes is a `google.rpc.Status` in
    the trailer `grpc-status-details-bin` (what gRPC itself makes has none, see BatchService), and carries an
    ErrorInfo whose domain is `imagebatch.v1` and whose reason is one of these names without the prefix
    `ERROR_REASON_`. New reasons may be added: treat an unknown one by its gRPC status code.
    """

    INVALID_REQUEST = "INVALID_REQUEST"
    """INVALID_ARGUMENT, with BadRequest: the request breaks a rule of the contract, such as two inputs in one item, a
    repeated item_id, an offset of -1 or a field that the server doesn't know. Each violation names its field, as in
    `items[3].image_url`; paths of more than 200 bytes end in `…`.
    """

    UNKNOWN_OPERATION = "UNKNOWN_OPERATION"
    """INVALID_ARGUMENT, with BadRequest: no operation has this name. ErrorInfo.metadata: `operation`."""

    INVALID_PARAMETERS = "INVALID_PARAMETERS"
    """INVALID_ARGUMENT, with BadRequest: the operation refuses its parameters, as in `options.parameters.size`.
    ErrorInfo.metadata: `operation`.
    """

    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    """NOT_FOUND: no batch has this id; it never existed, was deleted or has expired. ErrorInfo.metadata: `batch_id`."""

    OBJECT_NOT_FOUND = "OBJECT_NOT_FOUND"
    """NOT_FOUND: no object has this key; it was never uploaded, or was swept. ErrorInfo.metadata: `object_key`."""

    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    """ALREADY_EXISTS: the request_id made another batch, with other content or by the other submit rpc; or, for
    RetryBatch, it was given to a retry of this batch that chose other items. ErrorInfo.metadata: `request_id`,
    `batch_id`.
    """

    BATCH_NOT_TERMINAL = "BATCH_NOT_TERMINAL"
    """FAILED_PRECONDITION: only a terminal batch can be deleted. ErrorInfo.metadata: `batch_id`, `status`."""

    BATCH_NOT_RETRYABLE = "BATCH_NOT_RETRYABLE"
    """FAILED_PRECONDITION: a cancelled batch can't be retried. ErrorInfo.metadata: `batch_id`, `status`."""

    SEQUENCE_OUT_OF_RANGE = "SEQUENCE_OUT_OF_RANGE"
    """OUT_OF_RANGE: `after_sequence` is above the batch's last sequence. ErrorInfo.metadata: `batch_id`,
    `last_sequence`.
    """

    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    """INVALID_ARGUMENT, with BadRequest, if fields of the request are larger than the server takes and nothing else is
    wrong; else RESOURCE_EXHAUSTED, with RetryInfo if trying again later can help, without it if it can't. Any rpc
    may answer it when the server is busy or short of memory, or the tenant's calls come too fast. GetServerInfo has
    the limits, the tenant's quotas among them. ErrorInfo.metadata, of the first violation if there are several:
    `limit` (the field's name in ServerLimits), `value` (the most that it allows), `observed` (how much there was; at
    least so much, if the server did not look further), `setting` (the server's setting, if there is one). A server
    that has `observed` lists the feature `limit_observed`.
    """

    DRAINING = "DRAINING"
    """UNAVAILABLE, with RetryInfo: this server is stopping."""

    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    """UNAVAILABLE, with RetryInfo: the store can't be reached, is locked or is full."""

    NOT_SUPPORTED = "NOT_SUPPORTED"
    """UNIMPLEMENTED: this server does not do this (yet); the message names the alternative. ErrorInfo.metadata:
    `feature`.
    """

    UNAUTHENTICATED = "UNAUTHENTICATED"
    """UNAUTHENTICATED: the call carries no valid token."""

    PERMISSION_DENIED = "PERMISSION_DENIED"
    """PERMISSION_DENIED: the token does not allow this call."""

    INTERNAL = "INTERNAL"
    """INTERNAL: a defect of the server. ErrorInfo.metadata: `error_id`, which stands in the server's log."""

    TENANT_DELETED = "TENANT_DELETED"
    """FAILED_PRECONDITION: the tenant is being removed by DeleteTenant, and nothing can be stored for it until that is
    done. ErrorInfo.metadata: `tenant`.
    """

    BATCH_TERMINAL = "BATCH_TERMINAL"
    """FAILED_PRECONDITION: a batch that has ended can't be paused, resumed or updated. ErrorInfo.metadata: `batch_id`,
    `status`.
    """


class BatchStatus(StrEnum):
    """Where a batch stands. PENDING and PROCESSING are running states; the other four are terminal, and a terminal
    batch never changes except by RetryBatch.
    """

    PENDING = "pending"
    """Stored; no item has been dispatched yet."""

    PROCESSING = "processing"
    """Dispatched; some items have no outcome yet. Also while a cancellation is being carried out."""

    COMPLETED = "completed"
    """Terminal: every item has an outcome and none failed."""

    FAILED = "failed"
    """Terminal: items failed and none succeeded."""

    CANCELLED = "cancelled"
    """Terminal: the batch was cancelled. Outcomes recorded before and during the cancellation are kept."""

    PARTIALLY_COMPLETED = "partially_completed"
    """Terminal: some items succeeded and some failed."""


BATCH_STATUS_BY_NUMBER: Final[Mapping[int, BatchStatus]] = {
    1: BatchStatus.PENDING,
    2: BatchStatus.PROCESSING,
    3: BatchStatus.COMPLETED,
    4: BatchStatus.FAILED,
    5: BatchStatus.CANCELLED,
    6: BatchStatus.PARTIALLY_COMPLETED,
}
BATCH_STATUS_NUMBERS: Final = cast(
    "Mapping[BatchStatus, types_pb2.BatchStatus.ValueType]",
    {
        BatchStatus.PENDING: 1,
        BatchStatus.PROCESSING: 2,
        BatchStatus.COMPLETED: 3,
        BatchStatus.FAILED: 4,
        BatchStatus.CANCELLED: 5,
        BatchStatus.PARTIALLY_COMPLETED: 6,
    },
)


class WaitingReason(StrEnum):
    """Why items of a batch wait."""

    BEHIND_OTHERS = "behind_others"
    """Items of other batches are before it at the workers, or have the fetches that there may be."""

    HOST_LIMIT = "host_limit"
    """The host of its images has as many fetches under way as it is given, or as often as it bears; `detail` names it.
    """

    HOST_ASKED_TO_WAIT = "host_asked_to_wait"
    """The host of its images wants to be left alone (429, or 503 with Retry-After), until `until`; `detail` names it.
    """

    PROVIDER_LIMIT = "provider_limit"
    """The endpoint of its operation's model takes no more at this time."""

    BACKOFF = "backoff"
    """Items whose attempt failed are attempted again at `until`, and nothing else is left to do."""

    PAUSED = "paused"
    """It is paused, until ResumeBatch."""

    NO_WORKER = "no_worker"
    """No worker can run its operation: no server offers it, or none of its workers is up."""

    NO_ROOM = "no_room"
    """The server has as many images, or outcomes to be recorded, in hand as it takes."""

    STORE_AWAY = "store_away"
    """The store takes no outcomes at this time."""


WAITING_REASON_BY_NUMBER: Final[Mapping[int, WaitingReason]] = {
    1: WaitingReason.BEHIND_OTHERS,
    2: WaitingReason.HOST_LIMIT,
    3: WaitingReason.HOST_ASKED_TO_WAIT,
    4: WaitingReason.PROVIDER_LIMIT,
    5: WaitingReason.BACKOFF,
    6: WaitingReason.PAUSED,
    7: WaitingReason.NO_WORKER,
    8: WaitingReason.NO_ROOM,
    9: WaitingReason.STORE_AWAY,
}
WAITING_REASON_NUMBERS: Final = cast(
    "Mapping[WaitingReason, types_pb2.WaitingReason.ValueType]",
    {
        WaitingReason.BEHIND_OTHERS: 1,
        WaitingReason.HOST_LIMIT: 2,
        WaitingReason.HOST_ASKED_TO_WAIT: 3,
        WaitingReason.PROVIDER_LIMIT: 4,
        WaitingReason.BACKOFF: 5,
        WaitingReason.PAUSED: 6,
        WaitingReason.NO_WORKER: 7,
        WaitingReason.NO_ROOM: 8,
        WaitingReason.STORE_AWAY: 9,
    },
)


class NotificationState(StrEnum):
    """Where the notification of a batch's end stands."""

    PENDING = "pending"
    """The receiver has not taken it yet; there will be another attempt."""

    DELIVERED = "delivered"
    """The receiver answered with a status of 2xx."""

    FAILED = "failed"
    """Given up: the receiver answered 410 (Gone), or took it at no attempt over a day."""


NOTIFICATION_STATE_BY_NUMBER: Final[Mapping[int, NotificationState]] = {
    1: NotificationState.PENDING,
    2: NotificationState.DELIVERED,
    3: NotificationState.FAILED,
}
NOTIFICATION_STATE_NUMBERS: Final = cast(
    "Mapping[NotificationState, types_pb2.NotificationState.ValueType]",
    {
        NotificationState.PENDING: 1,
        NotificationState.DELIVERED: 2,
        NotificationState.FAILED: 3,
    },
)


class BatchItemStatus(StrEnum):
    """Where an item stands. SUCCESS, FAILED and SKIPPED are outcomes; an item has at most one outcome at any time."""

    PENDING = "pending"
    """No outcome yet."""

    PROCESSING = "processing"
    """Being worked on. Advisory: the server that runs the batch knows it, and no store holds it, so it may be missed.
    """

    SUCCESS = "success"
    """The operation ran and its output is recorded."""

    FAILED = "failed"
    """The item ended with an error; see `error_code`."""

    SKIPPED = "skipped"
    """The item was never run, and `error_code` says why: DUPLICATE, CANCELLED or FAILURE_LIMIT."""


BATCH_ITEM_STATUS_BY_NUMBER: Final[Mapping[int, BatchItemStatus]] = {
    1: BatchItemStatus.PENDING,
    2: BatchItemStatus.PROCESSING,
    3: BatchItemStatus.SUCCESS,
    4: BatchItemStatus.FAILED,
    5: BatchItemStatus.SKIPPED,
}
BATCH_ITEM_STATUS_NUMBERS: Final = cast(
    "Mapping[BatchItemStatus, types_pb2.BatchItemStatus.ValueType]",
    {
        BatchItemStatus.PENDING: 1,
        BatchItemStatus.PROCESSING: 2,
        BatchItemStatus.SUCCESS: 3,
        BatchItemStatus.FAILED: 4,
        BatchItemStatus.SKIPPED: 5,
    },
)


class ItemErrorCode(StrEnum):
    """Why an item failed or was skipped. Transient errors (FETCH_FAILED and PROVIDER_ERROR when caused by the
    connection or by HTTP status 408, 425, 429 or 5xx; TIMEOUT; WORKER_CRASHED) are attempted again up to
    `max_attempts`; all others are permanent.
    """

    FETCH_FAILED = "fetch_failed"
    """The image's host could not be reached, or answered with an error; or the URL names no host, has a blank in its
    host, or a port outside 1 to 65535, which is permanent.
    """

    FETCH_FORBIDDEN = "fetch_forbidden"
    """The URL leads to an address that the server does not fetch from, such as a private network."""

    OBJECT_NOT_FOUND = "object_not_found"
    """No object has this key: it was never uploaded, or has expired."""

    TOO_LARGE = "too_large"
    """The image has more bytes or more pixels than the server takes."""

    UNSUPPORTED_FORMAT = "unsupported_format"
    """The bytes are not an image of a supported format."""

    DECODE_FAILED = "decode_failed"
    """The image is damaged: its header was understood, its content could not be decoded."""

    TIMEOUT = "timeout"
    """One attempt (fetch, decode, run) took longer than `item_timeout`."""

    PROVIDER_ERROR = "provider_error"
    """The service behind the operation refused or failed."""

    WORKER_CRASHED = "worker_crashed"
    """The worker process died while it worked on this item."""

    INTERNAL = "internal"
    """A defect of the server or of the operation."""

    DUPLICATE = "duplicate"
    """Skipped: the same content and metadata stand at a lower index; see `duplicate_of_index`."""

    CANCELLED = "cancelled"
    """Skipped: the batch was cancelled before this item was started."""

    FAILURE_LIMIT = "failure_limit"
    """Skipped: the share of failures passed the batch's `failure_limit`."""


ITEM_ERROR_CODE_BY_NUMBER: Final[Mapping[int, ItemErrorCode]] = {
    1: ItemErrorCode.FETCH_FAILED,
    2: ItemErrorCode.FETCH_FORBIDDEN,
    3: ItemErrorCode.OBJECT_NOT_FOUND,
    4: ItemErrorCode.TOO_LARGE,
    5: ItemErrorCode.UNSUPPORTED_FORMAT,
    6: ItemErrorCode.DECODE_FAILED,
    7: ItemErrorCode.TIMEOUT,
    8: ItemErrorCode.PROVIDER_ERROR,
    9: ItemErrorCode.WORKER_CRASHED,
    10: ItemErrorCode.INTERNAL,
    11: ItemErrorCode.DUPLICATE,
    12: ItemErrorCode.CANCELLED,
    13: ItemErrorCode.FAILURE_LIMIT,
}
ITEM_ERROR_CODE_NUMBERS: Final = cast(
    "Mapping[ItemErrorCode, types_pb2.ItemErrorCode.ValueType]",
    {
        ItemErrorCode.FETCH_FAILED: 1,
        ItemErrorCode.FETCH_FORBIDDEN: 2,
        ItemErrorCode.OBJECT_NOT_FOUND: 3,
        ItemErrorCode.TOO_LARGE: 4,
        ItemErrorCode.UNSUPPORTED_FORMAT: 5,
        ItemErrorCode.DECODE_FAILED: 6,
        ItemErrorCode.TIMEOUT: 7,
        ItemErrorCode.PROVIDER_ERROR: 8,
        ItemErrorCode.WORKER_CRASHED: 9,
        ItemErrorCode.INTERNAL: 10,
        ItemErrorCode.DUPLICATE: 11,
        ItemErrorCode.CANCELLED: 12,
        ItemErrorCode.FAILURE_LIMIT: 13,
    },
)
