"""Tokens, tenants and names of the server count over HTTP as they do by gRPC."""

from __future__ import annotations

import socket

import httpx
import pytest
from tests.integration.http.conftest import PAGE, Site, secret
from tests.integration.http.frames import connect_stream, frame
from tests.integration.server import pictures

UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret(name)}"}


def test_without_a_token_nobody_calls(guarded: Site, http: httpx.Client) -> None:
    answer = http.post(f"{guarded.batches}/ListBatches", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["details"][0]["debug"]["reason"] == "UNAUTHENTICATED"


def test_a_role_is_what_it_is_by_grpc(guarded: Site, http: httpx.Client) -> None:
    batch = {"batchId": UNKNOWN}
    refused = http.post(f"{guarded.batches}/CancelBatch", json=batch, headers=bearer("reader"))
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert http.post(f"{guarded.batches}/ListBatches", json={}, headers=bearer("reader")).status_code == 200
    query = {"connect": "v1", "encoding": "json", "message": "{}"}
    assert http.get(f"{guarded.batches}/ListBatches", params=query).status_code == 401
    assert http.get(f"{guarded.batches}/ListBatches", params=query, headers=bearer("reader")).status_code == 200


def test_another_tenants_batch_is_as_one_that_is_not_there(guarded: Site, http: httpx.Client) -> None:
    items = [{"imageBase64": pictures.data_url(pictures.drawn())}]
    request = {"options": {"operation": "scripted"}, "items": items}
    submitted = http.post(f"{guarded.batches}/SubmitBatch", json=request, headers=bearer("writer"))
    batch_id = submitted.json()["batchId"]
    for rpc in (
        "GetBatchStatus",
        "GetBatchResults",
        "CancelBatch",
        "PauseBatch",
        "ResumeBatch",
        "RetryBatch",
        "DeleteBatch",
    ):
        for asked in (batch_id, UNKNOWN):
            answer = http.post(f"{guarded.batches}/{rpc}", json={"batchId": asked}, headers=bearer("other"))
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert (
                answer.json()["message"]
                == f"batch {asked} does not exist; it was never submitted, was deleted or has expired"
            )
    stream = {"content-type": "application/connect+json", **bearer("other")}
    body = frame(b'{"batchId":"' + batch_id.encode() + b'"}')
    _, end = connect_stream(http.post(f"{guarded.batches}/WatchBatch", content=body, headers=stream).content)
    assert end["error"]["code"] == "not_found"


def test_an_operator_acts_for_a_tenant_by_a_header(guarded: Site, http: httpx.Client) -> None:
    acting = {"imagebatch-tenant": "acme"}
    assert http.post(f"{guarded.batches}/ListBatches", json={}, headers={**bearer("operator"), **acting}).is_success
    refused = http.post(f"{guarded.batches}/ListBatches", json={}, headers={**bearer("other"), **acting})
    assert refused.json()["code"] == "permission_denied"


def test_a_request_is_not_read_before_its_token(guarded: Site) -> None:
    """The refusal comes although the body never does."""
    host, port = guarded.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20.0) as connection:
        head = (
            "POST /imagebatch.v1.BatchService/SubmitBatch HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\nContent-Length: 30000000\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_metrics_are_for_operators(guarded: Site, http: httpx.Client) -> None:
    assert http.get(f"{guarded.url}/metrics").status_code == 401
    assert http.get(f"{guarded.url}/metrics", headers=bearer("writer")).status_code == 403
    answer = http.get(f"{guarded.url}/metrics", headers={**bearer("operator"), "host": "10.1.2.3:8080"})
    assert answer.status_code == 200
    assert "imagebatch_workers_alive 1.0" in answer.text


def test_probes_need_no_token_and_no_name(guarded: Site, http: httpx.Client) -> None:
    for path in ("/healthz", "/readyz"):
        answer = http.get(f"{guarded.url}{path}", headers={"host": "10.1.2.3:8080"})
        assert (answer.status_code, answer.text) == (200, "ok\n")


@pytest.mark.parametrize("path", ["/healthz", "/", "/imagebatch.v1.BatchService/ListBatches"])
def test_a_tunnel_is_refused_in_words(site: Site, http: httpx.Client, path: str) -> None:
    answer = http.request("CONNECT", f"{site.url}{path}")
    assert (answer.status_code, answer.text) == (405, "CONNECT: this server is no proxy\n")


@pytest.mark.parametrize("path", ["/imagebatch.v1.BatchService/GetServerInfo", "/images/a/b", "/uploads/a/b", "/"])
def test_a_page_that_took_a_name_for_this_machine_is_refused(site: Site, http: httpx.Client, path: str) -> None:
    answer = http.post(f"{site.url}{path}", json={}, headers={"host": "rebound.evil.example"})
    assert answer.status_code == 421
    assert "rebound.evil.example is not this server's name" in answer.text


def test_pages_that_may_call_are_told_so(site: Site, http: httpx.Client) -> None:
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,connect-protocol-version,authorization",
    }
    answer = http.options(f"{site.batches}/ListBatches", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]
    called = http.post(f"{site.batches}/ListBatches", json={}, headers={"origin": PAGE})
    assert called.headers["access-control-allow-origin"] == PAGE
    assert "grpc-status-details-bin" in called.headers["access-control-expose-headers"]


def test_other_pages_are_told_nothing(site: Site, http: httpx.Client) -> None:
    evil = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for answer in (
        http.options(f"{site.batches}/ListBatches", headers=evil),
        http.post(f"{site.batches}/ListBatches", json={}, headers=evil),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
