"""Receivers that are told of a batch's end: signed, at least once, over kill -9 and retries, and nobody else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from standardwebhooks import Webhook
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused
from tests.integration.server.receiver import Receiver
from tests.operations_for_tests import OPERATIONS
from tests.postgres import session_server
from tests.server import ServerProcess, running_server
from typer.testing import CliRunner

from imagebatch.v1.batch_service_pb2 import GetServerInfoRequest, RetryBatchRequest
from imagebatch.v1.types_pb2 import (
    BATCH_STATUS_COMPLETED,
    BATCH_STATUS_FAILED,
    NOTIFICATION_STATE_DELIVERED,
    NOTIFICATION_STATE_FAILED,
    NOTIFICATION_STATE_PENDING,
    BatchNotification,
)
from imagebatch_server.app.webhooks import webhook


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiving = Receiver()
    yield receiving
    receiving.close()


@pytest.fixture(scope="module")
def secrets_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets") / "webhooks.json"


@pytest.fixture(scope="module")
def secret(secrets_path: Path) -> str:
    made = CliRunner().invoke(webhook, ["create", "default", "--webhook-secrets-file", str(secrets_path)])
    assert made.exit_code == 0, made.output
    return made.stdout.strip()


@contextmanager
def notifying(folder: Path, secrets_path: Path, **settings: str) -> Iterator[ServerProcess]:
    own = {"webhook_secrets_file": str(secrets_path), "notify_allowed_networks": "127.0.0.0/8", **settings}
    with running_server(folder, own, OPERATIONS) as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def server(
    request: pytest.FixtureRequest, secrets_path: Path, secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server") / "data"
    assert secret
    if request.param == "sqlite":
        with notifying(folder, secrets_path) as running:
            yield running
        return
    with (
        session_server(tmp_path_factory) as postgres,
        notifying(folder, secrets_path, database_url=postgres.create_database()) as running,
    ):
        yield running


def notification(raw: Raw, batch_id: str) -> BatchNotification:
    return raw.status(batch_id).notification


def test_the_end_of_a_batch_is_posted_once_and_signed(
    raw: Raw, server: ServerProcess, receiver: Receiver, secret: str
) -> None:
    assert "notify_url" in raw.batches.GetServerInfo(GetServerInfoRequest()).features
    path = f"/200/s{id(server)}"
    key = raw.upload(pictures.drawn()).object_key
    batch_id = raw.submit(
        [item(object_key=key)], "noop", notify_url=f"{receiver.url}{path}", labels={"shop": "Müller & Söhne"}
    ).batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_COMPLETED
    eventually(lambda: notification(raw, batch_id).state == NOTIFICATION_STATE_DELIVERED)
    told = notification(raw, batch_id)
    assert (told.attempts, told.last_http_status, told.HasField("next_at")) == (1, 200, False)
    ((headers, body),) = receiver.of(path)
    Webhook(secret).verify(body, headers)
    with pytest.raises(Exception, match="signature"):
        Webhook(secret).verify(body.replace(b'"successful_items":1', b'"successful_items":2'), headers)
    told_of = json.loads(body)
    assert told_of["type"] == "batch.ended"
    assert told_of["data"] == {
        "batch_id": batch_id,
        "operation": "noop",
        "status": "completed",
        "total_items": 1,
        "processed_items": 1,
        "successful_items": 1,
        "failed_items": 0,
        "skipped_items": 0,
        "labels": {"shop": "Müller & Söhne"},
    }
    assert secret not in server.log
    assert "receiver's own" not in server.log


def test_each_end_is_told_with_an_id_of_its_own(raw: Raw, server: ServerProcess, receiver: Receiver) -> None:
    path = f"/201/s{id(server)}"
    batch_id = raw.submit([item(object_key="gone")], "noop", notify_url=f"{receiver.url}{path}").batch_id
    assert raw.watch_to_end(batch_id).statuses[-1].status == BATCH_STATUS_FAILED
    eventually(lambda: notification(raw, batch_id).state == NOTIFICATION_STATE_DELIVERED)
    raw.batches.RetryBatch(RetryBatchRequest(batch_id=batch_id))
    eventually(lambda: len(receiver.of(path)) == 2)
    ids = [headers["webhook-id"] for headers, _ in receiver.of(path)]
    assert len(set(ids)) == 2


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(
    raw: Raw, server: ServerProcess, receiver: Receiver
) -> None:
    path = f"/200/s{id(server)}/503"
    batch_id = raw.submit([item(object_key="gone")], "noop", notify_url=f"{receiver.url}{path}").batch_id
    eventually(lambda: notification(raw, batch_id).last_http_status == 503)
    told = notification(raw, batch_id)
    assert (told.state, told.attempts) == (NOTIFICATION_STATE_PENDING, 1)
    assert told.HasField("next_at")
    eventually(lambda: notification(raw, batch_id).state == NOTIFICATION_STATE_DELIVERED)
    first, second = receiver.of(path)
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[1] == second[1]


def test_redirects_are_not_followed_and_gone_is_final(raw: Raw, server: ServerProcess, receiver: Receiver) -> None:
    moved, gone = f"/307/s{id(server)}", f"/410/s{id(server)}"
    first, second = (
        raw.submit([item(object_key="gone")], "noop", notify_url=f"{receiver.url}{path}").batch_id
        for path in (moved, gone)
    )
    eventually(lambda: notification(raw, second).state == NOTIFICATION_STATE_FAILED)
    eventually(lambda: notification(raw, first).last_http_status == 307)
    assert notification(raw, first).state == NOTIFICATION_STATE_PENDING
    assert not receiver.of("/200")


def test_kill_9_between_the_end_and_the_answer_tells_again(raw: Raw, server: ServerProcess, receiver: Receiver) -> None:
    path = f"/202/s{id(server)}"
    receiver.hold.clear()
    batch_id = raw.submit([item(object_key="gone")], "noop", notify_url=f"{receiver.url}{path}").batch_id
    eventually(lambda: len(receiver.of(path)) == 1)
    server.kill()
    receiver.hold.set()
    server.start()
    eventually(lambda: notification(raw, batch_id).state == NOTIFICATION_STATE_DELIVERED, patience_s=60.0)
    first, *later = receiver.of(path)
    assert later
    assert {headers["webhook-id"] for headers, _ in later} == {first[0]["webhook-id"]}


@pytest.mark.parametrize(
    ("notify_url", "says"),
    [
        ("ftp://hooks.example.com/", "https://"),
        ("https://user:secret@hooks.example.com/", "user name"),
        ("https://169.254.169.254/latest", "no public address"),
        ("http://93.184.215.14/hook", "https://"),
        ("https://10.0.0.1/hook", "NOTIFY_ALLOWED_NETWORKS"),
        ("https://", "names no host"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(raw: Raw, notify_url: str, says: str) -> None:
    refusal = refused(lambda: raw.submit([item(object_key="gone")], "noop", notify_url=notify_url))
    assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refusal.violations) == ["options.notify_url"]
    assert says in refusal.message


def test_without_secrets_nobody_is_told(raw: Raw, tmp_path: Path, secrets_path: Path) -> None:
    with running_server(tmp_path / "data", operations=OPERATIONS) as without:
        plain = Raw(without.address)
        refusal = refused(
            lambda: plain.submit([item(object_key="gone")], "noop", notify_url="https://hooks.example.com/")
        )
        assert refusal.code == grpc.StatusCode.UNIMPLEMENTED
        assert "notify_url" not in plain.batches.GetServerInfo(GetServerInfoRequest()).features
        plain.close()


def test_a_new_secret_signs_beside_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.json"
    run = CliRunner()
    assert run.invoke(webhook, ["create", "acme", "--webhook-secrets-file", str(path)]).exit_code == 0
    again = run.invoke(webhook, ["create", "acme", "--webhook-secrets-file", str(path)])
    assert "signs too until" in again.stderr
    listed = run.invoke(webhook, ["list", "--webhook-secrets-file", str(path)]).stdout
    assert listed.count("acme") == 2
    assert "whsec_" not in listed
    assert path.stat().st_mode & 0o777 == 0o600
    assert run.invoke(webhook, ["revoke", "acme", "--webhook-secrets-file", str(path)]).exit_code == 0
    refused_ = run.invoke(webhook, ["revoke", "acme", "--webhook-secrets-file", str(path)])
    assert refused_.exit_code == 1
    assert "no secret of acme" in refused_.stderr
