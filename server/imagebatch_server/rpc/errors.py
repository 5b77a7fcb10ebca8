"""Domain errors as gRPC statuses: one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from imagebatch.v1.enums import ErrorReason
from imagebatch_server.batches import errors
from imagebatch_server.batches.errors import RequestError, Violation

DOMAIN = "imagebatch.v1"
DETAILS_KEY = "grpc-status-details-bin"

VIOLATIONS_SENT = 20
# A peer may refuse a trailer of more than 8 KiB. Base64 makes the details a third longer, and the message stands in
# them and beside them, where percent-encoding may make it three times as long.
MAX_VIOLATIONS_BYTES = 3_000
MAX_FIELD_BYTES = 200
MAX_DESCRIPTION_BYTES = 400
MAX_MESSAGE_BYTES = 600

RETRY_AFTER_S = 1.0


@dataclass(frozen=True)
class GrpcError:
    """What a call is ended with."""

    code: StatusCode
    reason: ErrorReason
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()
    retry_after_s: float | None = None

    def details(self) -> bytes:
        """Serialise the `google.rpc.Status` for the trailer."""
        info = error_details_pb2.ErrorInfo(reason=self.reason.value, domain=DOMAIN, metadata=self.metadata)
        details: list[Message] = [info]
        if self.retry_after_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromNanoseconds(int(self.retry_after_s * 1e9))
            details.append(retry)
        if self.violations:
            details.append(_bad_request(self.violations))
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in details:
            packed = Any()
            packed.Pack(detail)
            status.details.append(packed)
        data: bytes = status.SerializeToString()
        return data


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    left = MAX_VIOLATIONS_BYTES
    for violation in violations[:VIOLATIONS_SENT]:
        path = clip(violation.field, MAX_FIELD_BYTES)  # which may end in a label's key, or in one of the caller's data
        description = clip(violation.description, MAX_DESCRIPTION_BYTES)
        left -= len(path.encode()) + len(description.encode()) + 8
        if left < 0:
            break
        request.field_violations.add(field=path, description=description)
    return request


def clip(text: str, max_bytes: int) -> str:
    """Shorten a text visibly to a number of bytes in UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= max_bytes else data[: max_bytes - 3].decode(errors="ignore") + "…"


_Translate = Callable[..., GrpcError]


def _invalid(reason: ErrorReason) -> _Translate:
    def translate(error: errors.InvalidRequest) -> GrpcError:
        first = error.violations[0]
        text = clip(first.description, MAX_DESCRIPTION_BYTES)
        if first.field:
            text = f"{clip(first.field, MAX_FIELD_BYTES)}: {text}"
        if len(error.violations) > 1:
            named = (
                "" if len(error.violations) <= VIOLATIONS_SENT else f"; BadRequest names the first {VIOLATIONS_SENT}"
            )
            text += f" ({len(error.violations)} violations in all{named})"
        operation = getattr(error, "operation", None)
        metadata = {} if operation is None else {"operation": clip(operation, 128)}
        return GrpcError(StatusCode.INVALID_ARGUMENT, reason, text, metadata, error.violations)

    return translate


def _invalid_or_large(error: errors.InvalidRequest) -> GrpcError:
    """Tell a request that is too large in places from one that is wrong in any other way too."""
    limit = error.violations[0].limit
    if limit is None or any(violation.limit is None for violation in error.violations):
        return _invalid(ErrorReason.INVALID_REQUEST)(error)
    return replace(_invalid(ErrorReason.LIMIT_EXCEEDED)(error), metadata=_metadata(limit))


def _limit(error: errors.LimitExceeded) -> GrpcError:
    return GrpcError(
        StatusCode.RESOURCE_EXHAUSTED,
        ErrorReason.LIMIT_EXCEEDED,
        clip(str(error), MAX_MESSAGE_BYTES),
        _metadata(error.limit),
        retry_after_s=error.retry_after_s,
    )


def _metadata(limit: errors.Limit) -> Mapping[str, str]:
    metadata = {"limit": limit.name, "value": _number(limit.value), "observed": _number(limit.observed)}
    return metadata if limit.setting is None else {**metadata, "setting": limit.setting}


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(code: StatusCode, reason: ErrorReason, *attributes: str, retry_after_s: float | None = None) -> _Translate:
    def translate(error: RequestError) -> GrpcError:
        metadata = {name: str(getattr(error, name)) for name in attributes}
        return GrpcError(code, reason, clip(str(error), MAX_MESSAGE_BYTES), metadata, retry_after_s=retry_after_s)

    return translate


# The more particular before the more general.
_TABLE: Sequence[tuple[type[RequestError], _Translate]] = (
    (errors.UnknownOperation, _invalid(ErrorReason.UNKNOWN_OPERATION)),
    (errors.InvalidParameters, _invalid(ErrorReason.INVALID_PARAMETERS)),
    (errors.InvalidRequest, _invalid_or_large),
    (errors.BatchNotFound, _plain(StatusCode.NOT_FOUND, ErrorReason.BATCH_NOT_FOUND, "batch_id")),
    (errors.ObjectNotFound, _plain(StatusCode.NOT_FOUND, ErrorReason.OBJECT_NOT_FOUND, "object_key")),
    (
        errors.RequestIdReused,
        _plain(StatusCode.ALREADY_EXISTS, ErrorReason.REQUEST_ID_REUSED, "request_id", "batch_id"),
    ),
    (
        errors.BatchNotTerminal,
        _plain(StatusCode.FAILED_PRECONDITION, ErrorReason.BATCH_NOT_TERMINAL, "batch_id", "status"),
    ),
    (
        errors.BatchTerminal,
        _plain(StatusCode.FAILED_PRECONDITION, ErrorReason.BATCH_TERMINAL, "batch_id", "status"),
    ),
    (
        errors.BatchNotRetryable,
        _plain(StatusCode.FAILED_PRECONDITION, ErrorReason.BATCH_NOT_RETRYABLE, "batch_id", "status"),
    ),
    (
        errors.SequenceOutOfRange,
        _plain(StatusCode.OUT_OF_RANGE, ErrorReason.SEQUENCE_OUT_OF_RANGE, "batch_id", "last_sequence"),
    ),
    (errors.LimitExceeded, _limit),
    (errors.TenantDeleted, _plain(StatusCode.FAILED_PRECONDITION, ErrorReason.TENANT_DELETED, "tenant")),
    (errors.Unauthenticated, _plain(StatusCode.UNAUTHENTICATED, ErrorReason.UNAUTHENTICATED)),
    (errors.PermissionDenied, _plain(StatusCode.PERMISSION_DENIED, ErrorReason.PERMISSION_DENIED)),
    (errors.Draining, _plain(StatusCode.UNAVAILABLE, ErrorReason.DRAINING, retry_after_s=RETRY_AFTER_S)),
    (
        errors.StoreUnavailable,
        _plain(StatusCode.UNAVAILABLE, ErrorReason.STORE_UNAVAILABLE, retry_after_s=RETRY_AFTER_S),
    ),
    (errors.NotSupported, _plain(StatusCode.UNIMPLEMENTED, ErrorReason.NOT_SUPPORTED, "feature")),
)


def translate(error: RequestError) -> GrpcError:
    """Choose what a call that raised `error` is ended with."""
    for kind, to_grpc in _TABLE:
        if isinstance(error, kind):
            return to_grpc(error)
    raise TypeError(f"no gRPC status is known for {type(error).__name__}")


def internal(error_id: str) -> GrpcError:
    """For a defect of ours; `error_id` finds it in the log."""
    return GrpcError(
        StatusCode.INTERNAL,
        ErrorReason.INTERNAL,
        f"the server failed; its log has the cause under error_id {error_id}",
        {"error_id": error_id},
    )
