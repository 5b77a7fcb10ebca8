"""Tokens that are renewed in a file while a client is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import BATCH_ID, Attempt, ScriptedServer, status, watch_from

from imagebatch.v1 import batch_service_pb2
from imagebatch_client import PermissionDeniedError, UnauthenticatedError

Connect = Callable[..., Any]
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def token(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("first")
    return tmp_path / "token"


def refused(answers: Any = ()) -> Attempt:
    return Attempt(answers, code=grpc.StatusCode.UNAUTHENTICATED, reason="UNAUTHENTICATED", message="expired")


def sent(server: ScriptedServer) -> list[str]:
    return [str(metadata["authorization"]).removeprefix("Bearer ") for metadata in server.metadata]


def test_each_call_carries_the_token_that_there_is(serve: Serve, connect: Connect, token: Path) -> None:
    server = serve(GetBatchStatus=[Attempt([status()]), Attempt([status()])])
    client = connect(server, token_file=token)
    client.get_status(BATCH_ID)
    token.write_text("second")
    client.get_status(BATCH_ID)
    assert sent(server) == ["first", "second"]


def test_a_call_that_is_refused_is_repeated_with_a_newer_token(serve: Serve, connect: Connect, token: Path) -> None:
    def renew(_request: object) -> Iterator[Any]:
        token.write_text("second")
        yield from ()

    server = serve(GetBatchStatus=[refused(renew), Attempt([status()])])
    assert connect(server, token_file=token).get_status(BATCH_ID).batch_id == BATCH_ID
    assert sent(server) == ["first", "second"]


def test_a_call_that_is_refused_is_not_repeated_with_the_same_token(
    serve: Serve, connect: Connect, token: Path
) -> None:
    server = serve(GetBatchStatus=[refused()], CancelBatch=[refused()])
    with pytest.raises(UnauthenticatedError, match="expired"):
        connect(server, token_file=token).get_status(BATCH_ID)
    with pytest.raises(UnauthenticatedError, match="expired"):
        connect(server, token="t").cancel(BATCH_ID)
    assert len(server.metadata) == 2


def test_a_watch_goes_on_with_a_newer_token(serve: Serve, connect: Connect, token: Path) -> None:
    def renew(request: batch_service_pb2.WatchBatchRequest) -> Iterator[Any]:
        yield from watch_from(4, cut_after=2)(request)
        token.write_text("second")

    server = serve(WatchBatch=[refused(renew), Attempt(watch_from(4))])
    results = list(connect(server, token_file=token).watch(BATCH_ID))
    assert [result.sequence for result in results] == [1, 2, 3, 4]
    assert sent(server) == ["first", "second"]


def test_a_watch_whose_token_ran_out_ends_with_that(serve: Serve, connect: Connect, token: Path) -> None:
    server = serve(WatchBatch=[refused(watch_from(4, cut_after=2))])
    watch = iter(connect(server, token_file=token).watch(BATCH_ID))
    assert [next(watch).sequence, next(watch).sequence] == [1, 2]
    with pytest.raises(UnauthenticatedError, match="expired"):
        next(watch)


def test_what_a_token_does_not_allow_is_an_error_of_its_own(serve: Serve, connect: Connect) -> None:
    denied = Attempt(code=grpc.StatusCode.PERMISSION_DENIED, reason="PERMISSION_DENIED", message="needs writer")
    with pytest.raises(PermissionDeniedError, match="needs writer"):
        connect(serve(CancelBatch=[denied])).cancel(BATCH_ID)
