"""How a call over HTTP ended, as a `google.rpc.Status`, and what Connect makes of it."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from imagebatch_server.rpc.errors import GrpcError

_HTTP = {
    StatusCode.CANCELLED: 499,
    StatusCode.UNKNOWN: 500,
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.DEADLINE_EXCEEDED: 504,
    StatusCode.NOT_FOUND: 404,
    StatusCode.ALREADY_EXISTS: 409,
    StatusCode.PERMISSION_DENIED: 403,
    StatusCode.RESOURCE_EXHAUSTED: 429,
    StatusCode.FAILED_PRECONDITION: 400,
    StatusCode.ABORTED: 409,
    StatusCode.OUT_OF_RANGE: 400,
    StatusCode.UNIMPLEMENTED: 501,
    StatusCode.INTERNAL: 500,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.DATA_LOSS: 500,
    StatusCode.UNAUTHENTICATED: 401,
}
"""https://connectrpc.com/docs/protocol#error-codes"""

_OF_HTTP = {
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    409: StatusCode.ALREADY_EXISTS,
    429: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
}
"""What answers say that stand for no rpc; other refusals are INVALID_ARGUMENT."""

_CODES = {code.value[0]: code for code in StatusCode}
_CONNECT_NAMES = {StatusCode.CANCELLED: "canceled"}
_KNOWN = {kind.DESCRIPTOR.full_name: kind for kind in (
    error_details_pb2.BadRequest, error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo,
)}  # fmt: skip
"""Kinds of details that our errors carry."""


def of_transport(code: StatusCode, message: str) -> status_pb2.Status:
    """Write an error that gRPC would make by itself, and not the contract: it has no details."""
    return status_pb2.Status(code=code.value[0], message=message)


def of_error(error: GrpcError) -> status_pb2.Status:
    """Write an error of the contract, with its details."""
    return status_pb2.Status.FromString(error.details())


def http_status(status: status_pb2.Status) -> int:
    """Choose the HTTP status that says the same."""
    return _HTTP[_CODES[status.code]]


def code_of(http_status: int) -> StatusCode:
    """Choose the code that says the same as HTTP's status."""
    return StatusCode.OK if http_status < 300 else _OF_HTTP.get(http_status, StatusCode.INVALID_ARGUMENT)


def headers(status: status_pb2.Status) -> Mapping[str, str]:
    """Tell in HTTP's own words when to come back, or that a token is wanted."""
    if status.code == StatusCode.UNAUTHENTICATED.value[0]:
        return {"www-authenticate": "Bearer"}
    retry = error_details_pb2.RetryInfo()
    if any(detail.Unpack(retry) for detail in status.details):
        return {"retry-after": str(math.ceil(retry.retry_delay.ToNanoseconds() / 1e9))}
    return {}


def connect_error(status: status_pb2.Status) -> dict[str, Any]:
    """Write the error as Connect's JSON."""
    code = _CODES[status.code]
    return {
        "code": _CONNECT_NAMES.get(code, code.name.lower()),
        "message": status.message,
        "details": [_detail(detail.type_url.rpartition("/")[2], detail.value) for detail in status.details],
    }


def connect_body(status: status_pb2.Status) -> bytes:
    """Write the body of an error in Connect's unary protocol."""
    return json.dumps(connect_error(status), ensure_ascii=False).encode()


def _detail(kind: str, value: bytes) -> dict[str, Any]:
    detail: dict[str, Any] = {"type": kind, "value": base64.b64encode(value).decode().rstrip("=")}
    if kind in _KNOWN:
        detail["debug"] = json_format.MessageToDict(_KNOWN[kind].FromString(value))
    return detail
