from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import imagebatch_client
from imagebatch.v1.enums import ErrorReason
from imagebatch_client import errors
from imagebatch_client.types import BatchStatus, BatchStatusResult


class FakeRpcError(grpc.RpcError):
    """What grpc and grpc.aio raise, as far as the client reads it."""

    def __init__(self, code: grpc.StatusCode, details: str, trailers: Any = ()) -> None:
        super().__init__(details)
        self._code, self._details, self._trailers = code, details, trailers

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return self._trailers


def packed(message: Any) -> AnyMessage:
    detail = AnyMessage()
    detail.Pack(message)
    return detail


def rich(code: grpc.StatusCode, message: str, *details: Any) -> FakeRpcError:
    status = status_pb2.Status(code=code.value[0], message=message, details=[packed(each) for each in details])
    return FakeRpcError(code, message, (("x-other", "1"), ("grpc-status-details-bin", status.SerializeToString())))


def info(reason: str, domain: str = "imagebatch.v1", **metadata: str) -> Any:
    return error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)


def made(error: grpc.RpcError) -> errors.ImagebatchError:
    return errors.from_rpc_error(error, "GetBatchStatus", "images:50051")


def tree() -> list[type[errors.ImagebatchError]]:
    classes: list[type[errors.ImagebatchError]] = [errors.ImagebatchError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    return classes


def test_every_reason_of_the_contract_has_its_class() -> None:
    assert set(errors.BY_REASON) == set(ErrorReason)


def test_every_class_is_public() -> None:
    assert [cls.__name__ for cls in tree() if not hasattr(imagebatch_client, cls.__name__)] == []


@pytest.mark.parametrize("reason", list(ErrorReason))
def test_the_reason_decides_and_not_the_text(reason: ErrorReason) -> None:
    error = made(rich(grpc.StatusCode.UNKNOWN, "batch not found, invalid, unavailable", info(reason)))
    assert type(error) is errors.BY_REASON[reason]
    assert error.reason == reason


def test_all_that_the_server_said_is_kept() -> None:
    bad_request = error_details_pb2.BadRequest(
        field_violations=[
            error_details_pb2.BadRequest.FieldViolation(field="items[3].image_url", description="is too long"),
            error_details_pb2.BadRequest.FieldViolation(field="limit", description="5000 is above 1000"),
        ]
    )
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))
    rpc_error = rich(
        grpc.StatusCode.INVALID_ARGUMENT,
        "2 violations",
        error_details_pb2.DebugInfo(detail="of no interest"),
        bad_request,
        retry,
        info("INVALID_REQUEST", setting="x"),
    )
    error = made(rpc_error)
    assert isinstance(error, errors.InvalidRequestError)
    assert str(error) == "2 violations"
    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [str(violation) for violation in error.violations] == [
        "items[3].image_url: is too long",
        "limit: 5000 is above 1000",
    ]
    assert error.retry_after_s == 2.5
    assert error.metadata == {"setting": "x"}
    assert error.__cause__ is rpc_error


def test_a_reason_of_a_newer_server_falls_back_to_its_code() -> None:
    error = made(rich(grpc.StatusCode.NOT_FOUND, "no such album", info("ALBUM_NOT_FOUND")))
    assert type(error) is errors.NotFoundError
    assert (error.reason, str(error)) == ("ALBUM_NOT_FOUND", "no such album")


def test_a_reason_of_another_domain_is_not_ours() -> None:
    error = made(rich(grpc.StatusCode.PERMISSION_DENIED, "quota", info("BATCH_NOT_FOUND", domain="gateway.example")))
    assert type(error) is errors.PermissionDeniedError
    assert error.reason == ""


@pytest.mark.parametrize("trailers", [None, (), (("grpc-status-details-bin", b"\xff\xff"),)])
def test_an_error_without_readable_details_is_made_from_its_code(trailers: Any) -> None:
    error = made(FakeRpcError(grpc.StatusCode.UNAVAILABLE, "connection refused", trailers))
    assert type(error) is errors.UnavailableError
    assert str(error) == "no server answers at images:50051 (connection refused); is `imagebatch serve` running there?"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            errors.DeadlineExceededError,
            "GetBatchStatus at images:50051: no answer",
        ),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotSupportedError, "does not offer GetBatchStatus"),
        (grpc.StatusCode.INTERNAL, errors.ServerError, "INTERNAL: oops"),
        (grpc.StatusCode.DATA_LOSS, errors.ImagebatchError, "DATA_LOSS: oops"),
    ],
)
def test_what_grpc_itself_reports_names_the_call_and_the_server(
    code: grpc.StatusCode, kind: type[errors.ImagebatchError], words: str
) -> None:
    error = made(FakeRpcError(code, "oops"))
    assert type(error) is kind
    assert words in str(error)


def sample(kind: type[errors.ImagebatchError]) -> errors.ImagebatchError:
    """Make an error as it is raised, with all that one can carry."""
    status = BatchStatusResult("b1", BatchStatus.FAILED, 2, 2, 0, 2, 0.0, 100.0, None, None, None, None, None)
    error: errors.ImagebatchError
    if kind in {errors.BatchTimeoutError, errors.BatchFailedError}:
        error = kind("it failed", status)
    elif kind is errors.ClientClosedError:
        error = errors.ClientClosedError()
    else:
        error = kind(
            "it failed",
            code=grpc.StatusCode.INVALID_ARGUMENT,
            reason="INVALID_REQUEST",
            violations=[errors.FieldViolation("items[3]", "is bad")],
            metadata={"a": "b"},
            retry_after_s=1.5,
        )
    error.request_id = "r1"
    return error


@pytest.mark.parametrize("kind", tree())
@pytest.mark.parametrize("copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])  # noqa: S301
def test_errors_can_be_copied_and_sent_to_other_processes(kind: type[errors.ImagebatchError], copied: Any) -> None:
    error = sample(kind)
    again = copied(error)
    assert type(again) is kind
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def raise_sample(kind: type[errors.ImagebatchError]) -> None:
    raise sample(kind)


def test_errors_reach_whoever_uses_a_pool_of_processes() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in (errors.BatchTimeoutError, errors.BatchFailedError, errors.NotFoundError):
            with pytest.raises(kind, match="it failed"):
                pool.submit(raise_sample, kind).result(60)


def test_a_wait_that_timed_out_is_a_timeout_error() -> None:
    assert issubclass(errors.BatchTimeoutError, TimeoutError)
    assert issubclass(errors.BatchTimeoutError, errors.ImagebatchError)
