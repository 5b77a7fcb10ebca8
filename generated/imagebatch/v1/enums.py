"""Placeholder until make generate."""

from enum import Enum


class ItemErrorCode(str, Enum):
    FETCH_FAILED = "fetch_failed"
    FETCH_FORBIDDEN = "fetch_forbidden"
    OBJECT_NOT_FOUND = "object_not_found"
    TOO_LARGE = "too_large"
    UNSUPPORTED_FORMAT = "unsupported_format"
    DECODE_FAILED = "decode_failed"
    TIMEOUT = "timeout"
    PROVIDER_ERROR = "provider_error"
    WORKER_CRASHED = "worker_crashed"
    INTERNAL = "internal"
    DUPLICATE = "duplicate"
    CANCELLED = "cancelled"
    FAILURE_LIMIT = "failure_limit"
