"""The audit log where its disk is full: nothing is changed that no line tells of, and the server goes on."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from structlog.testing import capture_logs
from tests.integration.access.secured import Secured
from tests.integration.server.calls import TIMEOUT_S, eventually, refused
from tests.server import free_port, running_server

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch_server.access.audit_log import MAX_WAITING, AuditLog
from imagebatch_server.access.principal import Role
from imagebatch_server.batches.errors import StoreUnavailable

UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"
FULL = Path("/dev/full")
AT_ONCE = 100
"""Calls under way at one time, fewer than a caller may have."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file on a disk that is full."""
    path = tmp_path / "audit.jsonl"
    path.symlink_to(FULL)
    return path


def make_room(path: Path) -> None:
    other = path.with_suffix(".room")
    other.touch()
    other.replace(path)


def lines(path: Path) -> list[dict[str, object]]:
    written, _, _ = path.read_text().rpartition("\n")  # the last may be half written
    return [json.loads(line) for line in written.splitlines()]


@pytest.fixture
def lost() -> list[int]:
    return []


@pytest.fixture
def audit(path: Path, lost: list[int]) -> Iterator[AuditLog]:
    audit = AuditLog(path, lost.append)
    yield audit
    audit.close()


def test_lines_wait_for_room_and_are_said_to_once(audit: AuditLog, path: Path, lost: list[int]) -> None:
    with capture_logs() as logs:
        for number in range(3):
            audit.write({"number": number}, must_be_kept=True)
        eventually(lambda: bool(logs))
        make_room(path)
        eventually(lambda: lines(path) == [{"number": number} for number in range(3)])
        eventually(lambda: len(logs) == 2)
    assert [entry["event"] for entry in logs] == ["audit.write_failed", "audit.written_again"]
    assert lost == []


def test_past_the_most_that_may_wait_nothing_may_be_changed(audit: AuditLog, path: Path, lost: list[int]) -> None:
    for number in range(MAX_WAITING):
        audit.ensure_room()
        audit.write({"number": number}, must_be_kept=True)
    with pytest.raises(StoreUnavailable, match="nothing may be changed"):
        audit.ensure_room()
    audit.write({"number": "refused"}, must_be_kept=False)
    audit.write({"number": "in flight"}, must_be_kept=True)
    assert lost == [1]
    make_room(path)
    eventually(lambda: len(lines(path)) == MAX_WAITING + 1)
    audit.ensure_room()
    assert [line["number"] for line in lines(path)] == [*range(MAX_WAITING), "in flight"]


def test_what_waits_at_the_end_is_counted(path: Path, lost: list[int]) -> None:
    audit = AuditLog(path, lost.append)
    for number in range(700):
        audit.write({"number": number}, must_be_kept=True)
    audit.close()
    assert sum(lost) == 700


def test_a_server_refuses_changes_and_answers_the_rest(tmp_path: Path, path: Path) -> None:
    made = Secured(tmp_path)
    writer = made.grant("writer", "acme", Role.WRITER)
    settings = {**made.settings, "audit_log": str(path)}
    cancel = batch_service_pb2.CancelBatchRequest(batch_id=UNKNOWN)
    with running_server(tmp_path / "data", settings) as server:
        made.server = server
        raw = made.client(writer)
        for _ in range(MAX_WAITING // AT_ONCE):
            calls = [raw.batches.CancelBatch.future(cancel) for _ in range(AT_ONCE)]
            assert {call.code() for call in calls} == {grpc.StatusCode.NOT_FOUND}
        refusal = refused(lambda: raw.batches.CancelBatch(cancel, timeout=TIMEOUT_S))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE")
        assert "audit log can't be written" in refusal.message
        raw.batches.ListBatches(batch_service_pb2.ListBatchesRequest(), timeout=TIMEOUT_S)
        make_room(path)
        eventually(lambda: refused(lambda: raw.batches.CancelBatch(cancel)).code is grpc.StatusCode.NOT_FOUND)
        eventually(lambda: len(lines(path)) > MAX_WAITING)
        made.close()
    assert {line["code"] for line in lines(path)} == {"NOT_FOUND"}


def test_an_image_by_a_signed_url_has_its_line(tmp_path: Path) -> None:
    made = Secured(tmp_path)
    token = made.grant("writer", "acme", Role.WRITER)
    trusting = ssl.create_default_context(cafile=made.authority.certificate)
    with running_server(tmp_path / "data", {**made.settings, "http_address": f"127.0.0.1:{free_port()}"}) as server:
        made.server = server
        promised = made.client(token).images.CreateUploadUrl(
            image_service_pb2.CreateUploadUrlRequest(content_type="image/png", size_bytes=3)
        )
        made.close()
        with httpx.Client(verify=trusting, trust_env=False) as http:
            answers = [
                http.put(promised.url, content=data, headers=dict(promised.headers)) for data in (b"12", b"123", b"123")
            ]
            answers.append(http.put(f"{promised.url}x", content=b"123", headers=dict(promised.headers)))
    assert [answer.status_code for answer in answers] == [400, 201, 409, 403]
    told = [line for line in lines(made.audit_log) if line["rpc"] == "PUT /uploads"]
    assert [line["code"] for line in told] == ["INVALID_ARGUMENT", "OK", "ALREADY_EXISTS", "PERMISSION_DENIED"]
    assert {(line["principal"], line["tenant"], line.get("of_object_key")) for line in told[:3]} == {
        ("signed-url", "acme", promised.object_key)
    }
    assert (told[3]["principal"], told[3]["tenant"]) == (None, None)
    assert "signature" not in made.audit_log.read_text()
