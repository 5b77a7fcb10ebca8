"""The exception tree. Errors of a call are made from the server's ErrorInfo, never from the text of a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from imagebatch.v1.enums import ErrorReason
from imagebatch_client import unreachable

if TYPE_CHECKING:
    from imagebatch_client.types import BatchStatusResult

_DOMAIN = "imagebatch.v1"
_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with a request: `field` is a path such as "items[3].image_url"."""

    field: str
    description: str

    def __str__(self) -> str:
        return f"{self.field}: {self.description}" if self.field else self.description


class ImagebatchError(Exception):
    """Base of all errors of this client.

    `code` is the call's gRPC status, None if the error is not a call's. `reason` is a name of ErrorReason or, from a
    newer server, one that this client doesn't know; empty if the error was not the server's. `metadata` is ErrorInfo's.
    `retry_after_s` is set if the server said when to try again. `request_id` is set by submits: repeat with it, and at
    most one batch comes of it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        violations: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.reason = reason
        self.violations: tuple[FieldViolation, ...] = tuple(violations)
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after_s = retry_after_s
        self.request_id = request_id

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls __init__ with the message alone, which not all of the tree can be made of.
        return _blank, (type(self), *self.args), self.__dict__


def _blank(kind: type[ImagebatchError], *args: object) -> ImagebatchError:
    """Rebuild an error as it comes out of a pickle, before its attributes are set."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class InvalidRequestError(ImagebatchError):
    """The request breaks a rule; `violations` name the fields. Also raised before a call, for what can't be sent."""

    @classmethod
    def of_field(cls, field: str, description: str) -> InvalidRequestError:
        """Make an error of one field, in the form in which the server reports them."""
        violation = FieldViolation(field, description)
        return cls(
            str(violation),
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason=ErrorReason.INVALID_REQUEST,
            violations=[violation],
        )


class UnknownOperationError(InvalidRequestError):
    """The server offers no operation of this name."""


class InvalidParametersError(InvalidRequestError):
    """The operation refuses its parameters."""


class NotFoundError(ImagebatchError):
    """What the call names does not exist."""


class BatchNotFoundError(NotFoundError):
    """No batch has this id: it never existed, was deleted or has expired."""


class ObjectNotFoundError(NotFoundError):
    """No stored image has this key: it was never uploaded, or was swept."""


class RequestIdReusedError(ImagebatchError):
    """The request_id made another batch, whose id is `metadata["batch_id"]`."""


class PreconditionError(ImagebatchError):
    """The batch is not in a state that allows the call."""


class BatchNotTerminalError(PreconditionError):
    """Only a terminal batch can be deleted: cancel it first."""


class BatchTerminalError(PreconditionError):
    """A batch that has ended can't be paused, resumed or updated."""


class BatchNotRetryableError(PreconditionError):
    """A cancelled batch can't be retried."""


class TenantDeletedError(PreconditionError):
    """The tenant is being removed: nothing can be stored for it until that is done."""


class SequenceOutOfRangeError(ImagebatchError):
    """`after_sequence` is above the batch's last sequence, `metadata["last_sequence"]`."""


class LimitExceededError(ImagebatchError):
    """A limit of the server. Trying again helps only if `retry_after_s` is set."""


class UnavailableError(ImagebatchError):
    """The server can't be reached, is stopping, or its store is out of reach: try again."""


class DeadlineExceededError(ImagebatchError):
    """No answer within the call's timeout; the server may still have carried the call out."""


class NotSupportedError(ImagebatchError):
    """This server does not do this."""


class UnauthenticatedError(ImagebatchError):
    """The call carried no valid token."""


class PermissionDeniedError(ImagebatchError):
    """The token does not allow this call."""


class ServerError(ImagebatchError):
    """A defect of the server; `metadata["error_id"]` stands in its log."""


class IncompatibleServerError(ImagebatchError):
    """The server answered with something that this client doesn't know: upgrade the client."""


class CorruptDownloadError(ImagebatchError):
    """The bytes that came are not the ones that the server announced."""


class ClientClosedError(ImagebatchError):
    """The client was closed, before the call or during it: make another one."""

    def __init__(self) -> None:
        super().__init__("this client is closed; make another one")


class BatchTimeoutError(ImagebatchError, TimeoutError):
    """The batch was not seen to end within the time given. `status` is the last one seen, if any was.

    The message says whether the batch goes on, or the server could not be asked; `__cause__` is then why.
    """

    def __init__(self, message: str, status: BatchStatusResult | None) -> None:
        super().__init__(message)
        self.status = status


class BatchFailedError(ImagebatchError):
    """The batch ended failed: items failed and none succeeded. `status` has the counters."""

    def __init__(self, message: str, status: BatchStatusResult) -> None:
        super().__init__(message)
        self.status = status


BY_REASON: Mapping[str, type[ImagebatchError]] = {
    ErrorReason.INVALID_REQUEST: InvalidRequestError,
    ErrorReason.UNKNOWN_OPERATION: UnknownOperationError,
    ErrorReason.INVALID_PARAMETERS: InvalidParametersError,
    ErrorReason.BATCH_NOT_FOUND: BatchNotFoundError,
    ErrorReason.OBJECT_NOT_FOUND: ObjectNotFoundError,
    ErrorReason.REQUEST_ID_REUSED: RequestIdReusedError,
    ErrorReason.BATCH_NOT_TERMINAL: BatchNotTerminalError,
    ErrorReason.BATCH_NOT_RETRYABLE: BatchNotRetryableError,
    ErrorReason.BATCH_TERMINAL: BatchTerminalError,
    ErrorReason.SEQUENCE_OUT_OF_RANGE: SequenceOutOfRangeError,
    ErrorReason.LIMIT_EXCEEDED: LimitExceededError,
    ErrorReason.DRAINING: UnavailableError,
    ErrorReason.STORE_UNAVAILABLE: UnavailableError,
    ErrorReason.NOT_SUPPORTED: NotSupportedError,
    ErrorReason.UNAUTHENTICATED: UnauthenticatedError,
    ErrorReason.PERMISSION_DENIED: PermissionDeniedError,
    ErrorReason.INTERNAL: ServerError,
    ErrorReason.TENANT_DELETED: TenantDeletedError,
}

# For a reason that a newer server added, and for statuses that gRPC itself made.
BY_CODE: Mapping[grpc.StatusCode, type[ImagebatchError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: RequestIdReusedError,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionError,
    grpc.StatusCode.OUT_OF_RANGE: SequenceOutOfRangeError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceededError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.UNIMPLEMENTED: NotSupportedError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.INTERNAL: ServerError,
}


def from_rpc_error(error: grpc.RpcError, rpc: str, address: str, *, is_tls: bool = False) -> ImagebatchError:
    """Make the exception for a failed call of `rpc` at `address`, of grpc or grpc.aio alike."""
    code: grpc.StatusCode = error.code()
    status = _rich_status(error)
    info, violations, retry_after_s = error_details_pb2.ErrorInfo(), [], None
    for detail in status.details:
        bad_request, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad_request):
            violations = [FieldViolation(each.field, each.description) for each in bad_request.field_violations]
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        elif not info.reason:
            detail.Unpack(info)
    if info.domain != _DOMAIN:  # another service's, such as a proxy's: its reasons are not ours
        info.Clear()
    kind = BY_REASON.get(info.reason) or BY_CODE.get(code, ImagebatchError)
    made = kind(
        status.message if info.reason else _transport_message(error, code, rpc, address, is_tls),
        code=code,
        reason=info.reason,
        violations=violations,
        metadata=info.metadata,
        retry_after_s=retry_after_s,
    )
    made.__cause__ = error
    return made


def _rich_status(error: grpc.RpcError) -> status_pb2.Status:
    trailers = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    for key, value in trailers:
        if key == _DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break  # no detail is lost that could be read; the call's own code and text remain
    return status_pb2.Status()


def _transport_message(error: grpc.RpcError, code: grpc.StatusCode, rpc: str, address: str, is_tls: bool) -> str:
    details = error.details() or "no details"
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return unreachable.explained(address, details, is_tls=is_tls)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"{rpc} at {address}: no answer within the call's timeout"
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"{address} does not offer {rpc}: it is another service, or an older server"
        case _:
            return f"{rpc} at {address}: {code.name}: {details}"
