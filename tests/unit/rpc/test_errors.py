"""Each domain error has its status, and fits a trailer."""

from __future__ import annotations

import inspect

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches import errors
from imagebatch_server.batches.errors import Limit, RequestError, Violation
from imagebatch_server.rpc.errors import translate

EXAMPLES: dict[type[RequestError], tuple[RequestError, StatusCode]] = {
    type(error): (error, code)
    for error, code in (
        (errors.InvalidRequest([Violation("limit", "too high")]), StatusCode.INVALID_ARGUMENT),
        (errors.UnknownOperation("x", ["describe"]), StatusCode.INVALID_ARGUMENT),
        (errors.InvalidParameters("x", [Violation("options.parameters.a", "no")]), StatusCode.INVALID_ARGUMENT),
        (errors.BatchNotFound("b"), StatusCode.NOT_FOUND),
        (errors.ObjectNotFound("k"), StatusCode.NOT_FOUND),
        (errors.RequestIdReused("r", "b", use="made"), StatusCode.ALREADY_EXISTS),
        (errors.BatchNotTerminal("b", BatchStatus.PENDING), StatusCode.FAILED_PRECONDITION),
        (errors.BatchNotRetryable("b", BatchStatus.CANCELLED), StatusCode.FAILED_PRECONDITION),
        (errors.BatchTerminal("b", BatchStatus.FAILED), StatusCode.FAILED_PRECONDITION),
        (errors.SequenceOutOfRange("b", 9, 3), StatusCode.OUT_OF_RANGE),
        (errors.LimitExceeded(Limit("max_image_bytes", 8, 9), "too big"), StatusCode.RESOURCE_EXHAUSTED),
        (errors.TenantDeleted("acme"), StatusCode.FAILED_PRECONDITION),
        (errors.Unauthenticated("no token"), StatusCode.UNAUTHENTICATED),
        (errors.PermissionDenied("no role"), StatusCode.PERMISSION_DENIED),
        (errors.Draining(), StatusCode.UNAVAILABLE),
        (errors.StoreUnavailable("disk full"), StatusCode.UNAVAILABLE),
        (errors.NotSupported("x", "do y"), StatusCode.UNIMPLEMENTED),
    )
}


def details(error: RequestError) -> dict[str, object]:
    status = status_pb2.Status.FromString(translate(error).details())
    found: dict[str, object] = {}
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            if packed.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind.FromString(packed.value)
    return found


def test_every_domain_error_has_an_example() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RequestError) and kind is not RequestError
    }
    assert kinds == set(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_each_has_its_code_and_its_reason(kind: type[RequestError]) -> None:
    error, code = EXAMPLES[kind]
    assert translate(error).code is code
    info = details(error)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.domain == "imagebatch.v1"
    assert ("RetryInfo" in details(error)) is (code is StatusCode.UNAVAILABLE)


def test_a_thousand_long_violations_fit_the_trailer() -> None:
    error = errors.InvalidRequest([Violation(f"items[{index}].image_url", "ä" * 1_000) for index in range(1_000)])
    translated = translate(error)
    assert len(translated.details()) < 6 * 1024
    assert "1000 violations" in translated.message
    bad = details(error)["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert 0 < len(bad.field_violations) <= 20


def info_of(error: RequestError) -> error_details_pb2.ErrorInfo:
    info = details(error)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    return info


ITEMS = Violation("items", "too many", Limit("max_items_per_submit", 2, 3, "IMAGEBATCH_MAX_ITEMS_PER_SUBMIT"))
METADATA = Violation("items[0].metadata", "too large", Limit("max_metadata_bytes", 8192, 9000))


def test_fields_that_are_too_large_alone_name_the_first_limit() -> None:
    error = errors.InvalidRequest([ITEMS, METADATA])
    assert translate(error).code is StatusCode.INVALID_ARGUMENT
    assert info_of(error).reason == "LIMIT_EXCEEDED"
    assert info_of(error).metadata == {
        "limit": "max_items_per_submit",
        "value": "2",
        "observed": "3",
        "setting": "IMAGEBATCH_MAX_ITEMS_PER_SUBMIT",
    }


def test_a_request_that_is_wrong_besides_is_invalid() -> None:
    error = errors.InvalidRequest([METADATA, Violation("options", "is required")])
    assert info_of(error).reason == "INVALID_REQUEST"
    assert not info_of(error).metadata


@pytest.mark.parametrize("name", ["k" * 100_000, "ä" * 4_000])
def test_a_violation_with_a_long_name_is_sent_all_the_same(name: str) -> None:
    error = errors.InvalidRequest([Violation(f'options.labels["{name}{index}"]', "x" * 1_000) for index in range(30)])
    assert len(translate(error).details()) < 6 * 1024
    bad = details(error)["BadRequest"]
    assert isinstance(bad, error_details_pb2.BadRequest)
    assert bad.field_violations
    assert bad.field_violations[0].field.startswith('options.labels["')
    assert bad.field_violations[0].field.endswith("…")
