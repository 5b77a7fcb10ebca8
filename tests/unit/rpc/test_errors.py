"""Each domain error has its status, and fits a trailer."""

from __future__ import annotations

import inspect

import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from imagebatch.v1.enums import BatchStatus
from imagebatch_server.batches import errors
from imagebatch_server.batches.errors import RequestError, Violation
from imagebatch_server.rpc.errors import translate

EXAMPLES: dict[type[RequestError], tuple[RequestError, StatusCode]] = {
    type(error): (error, code)
    for error, code in (
        (errors.InvalidRequest([Violation("limit", "too high")]), StatusCode.INVALID_ARGUMENT),
        (errors.UnknownOperation("x", ["describe"]), StatusCode.INVALID_ARGUMENT),
        (errors.InvalidParameters("x", [Violation("options.parameters.a", "no")]), StatusCode.INVALID_ARGUMENT),
        (errors.BatchNotFound("b"), StatusCode.NOT_FOUND),
        (errors.ObjectNotFound("k"), StatusCode.NOT_FOUND),
        (errors.RequestIdReused("r", "b"), StatusCode.ALREADY_EXISTS),
        (errors.BatchNotTerminal("b", BatchStatus.PENDING), StatusCode.FAILED_PRECONDITION),
        (errors.BatchNotRetryable("b", BatchStatus.CANCELLED), StatusCode.FAILED_PRECONDITION),
        (errors.SequenceOutOfRange("b", 9, 3), StatusCode.OUT_OF_RANGE),
        (errors.LimitExceeded("max_image_bytes", "too big", value=9), StatusCode.RESOURCE_EXHAUSTED),
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


def test_a_limit_on_a_field_names_it() -> None:
    error = errors.LimitExceeded(
        "max_items_per_submit", "too many", value=3, setting="IMAGEBATCH_MAX_ITEMS_PER_SUBMIT", field="items"
    )
    assert translate(error).code is StatusCode.INVALID_ARGUMENT
    info = details(error)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert info.metadata == {
        "limit": "max_items_per_submit",
        "value": "3",
        "setting": "IMAGEBATCH_MAX_ITEMS_PER_SUBMIT",
    }
