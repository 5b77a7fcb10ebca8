"""The contract by Connect, called as anybody would who reads its specification."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.rpc import error_details_pb2
from tests.integration.http.conftest import Site
from tests.integration.http.frames import connect_stream, frame, frames
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item

from imagebatch.v1 import batch_service_pb2, image_service_pb2, types_pb2

JSON = {"content-type": "application/json"}
PROTO = {"content-type": "application/proto"}
STREAM = {"content-type": "application/connect+json"}
UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"


def submit(http: httpx.Client, site: Site, items: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    request = {"options": {"operation": "scripted", **options}, "items": items}
    answer = http.post(f"{site.batches}/SubmitBatch", json=request)
    assert answer.status_code == 200, answer.text
    submitted: dict[str, Any] = answer.json()
    return submitted


def watch(http: httpx.Client, site: Site, batch_id: str) -> tuple[list[Any], dict[str, Any]]:
    body = frame(json.dumps({"batchId": batch_id}).encode())
    answer = http.post(f"{site.batches}/WatchBatch", content=body, headers=STREAM)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/connect+json")
    return connect_stream(answer.content)


def test_curl_submits_watches_and_reads(site: Site, picture: str) -> None:
    def curl(path: str, request: object) -> Any:
        command = ["curl", "-sS", "--fail-with-body", "-H", "Content-Type: application/json", "-d", json.dumps(request)]
        done = subprocess.run([*command, f"{site.batches}/{path}"], capture_output=True, check=True)
        return json.loads(done.stdout)

    items = [{"objectKey": picture, "metadata": {"depth": [1, "two", None, True]}}, {"objectKey": picture}]
    batch_id = curl("SubmitBatch", {"options": {"operation": "scripted"}, "items": items})["batchId"]
    with httpx.Client(trust_env=False) as http:
        messages, end = watch(http, site, batch_id)
    assert end == {}
    assert messages[-1]["status"]["status"] == "BATCH_STATUS_COMPLETED"
    page = curl("GetBatchResults", {"batchId": batch_id})
    assert [result["status"] for result in page["results"]] == ["BATCH_ITEM_STATUS_SUCCESS"] * 2
    assert page["results"][0]["outputData"]["metadata"] == {"depth": [1, "two", None, True]}


def test_a_batch_is_paused_updated_and_resumed_in_json(
    site: Site, http: httpx.Client, picture: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    waits = {"objectKey": picture, "metadata": {"do": "wait", "until": str(gate)}}
    which = {"batchId": submit(http, site, [waits])["batchId"]}
    assert http.post(f"{site.batches}/PauseBatch", json=which).json()["pausedAt"]
    change = {**which, "updateMask": "priority,labels", "priority": 7, "labels": {"a": "b"}}
    updated = http.post(f"{site.batches}/UpdateBatch", json=change).json()
    assert (updated["priority"], updated["labels"], "pausedAt" in updated) == (7, {"a": "b"}, True)
    refused = http.post(f"{site.batches}/UpdateBatch", json={**which, "updateMask": "maxAttempts"})
    assert (refused.status_code, "priority, labels or both" in refused.json()["message"]) == (400, True)
    assert "pausedAt" not in http.post(f"{site.batches}/ResumeBatch", json=which).json()
    gate.touch()
    watch(http, site, which["batchId"])
    ended = http.post(f"{site.batches}/PauseBatch", json=which).json()
    assert ended["code"] == "failed_precondition"


def test_bytes_are_what_grpc_sends(site: Site, http: httpx.Client, raw: Raw, picture: str) -> None:
    batch_id = raw.submit([item(object_key=picture)]).batch_id
    raw.watch_to_end(batch_id)
    request = batch_service_pb2.GetBatchResultsRequest(batch_id=batch_id).SerializeToString()
    answer = http.post(f"{site.batches}/GetBatchResults", content=request, headers=PROTO)
    assert answer.headers["content-type"] == "application/proto"
    page = types_pb2.BatchResults.FromString(answer.content)
    ours, theirs = page.results[0], raw.page(batch_id).results[0]
    for message in (ours, theirs):
        message.ClearField("stored_image_url")  # made anew for each reader
    assert ours == theirs


def test_get_calls_what_changes_nothing(site: Site, http: httpx.Client) -> None:
    query = {"connect": "v1", "encoding": "json", "message": "{}"}
    assert "version" in http.get(f"{site.batches}/GetServerInfo", params=query).json()
    message = base64.urlsafe_b64encode(b'{"batchId":"' + UNKNOWN.encode() + b'"}').decode().rstrip("=")
    answer = http.get(f"{site.batches}/GetBatchStatus", params={**query, "message": message, "base64": "1"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    refused = http.get(f"{site.batches}/DeleteBatch", params=query)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


def test_an_error_carries_what_grpcs_does(site: Site, http: httpx.Client) -> None:
    answer = http.post(f"{site.batches}/GetBatchStatus", json={"batchId": UNKNOWN})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    error = answer.json()
    assert error["code"] == "not_found"
    assert error["message"].startswith(f"batch {UNKNOWN} does not exist")
    (detail,) = error["details"]
    assert detail["type"] == "google.rpc.ErrorInfo"
    expected = {"reason": "BATCH_NOT_FOUND", "domain": "imagebatch.v1", "metadata": {"batch_id": UNKNOWN}}
    assert detail["debug"] == expected
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(detail["value"] + "=="))
    assert info.reason == "BATCH_NOT_FOUND"


def test_all_violations_are_named(site: Site, http: httpx.Client) -> None:
    request = {
        "options": {"operation": "noop", "priority": 11},
        "items": [{"imageUrl": "https://a", "objectKey": "k"}, {}],
    }
    error = http.post(f"{site.batches}/SubmitBatch", json=request).json()
    assert error["code"] == "invalid_argument"
    violations = next(each["debug"] for each in error["details"] if each["type"] == "google.rpc.BadRequest")
    assert {each["field"] for each in violations["fieldViolations"]} == {"items[0]", "items[1]", "options.priority"}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "can't be read as the JSON"),
        (b"{", "can't be read as the JSON"),
        (b'{"batchId": "x", "color": 1}', 'no field named "color"'),
        (b'{"batchId": ["x"]}', "can't be read as the JSON"),
        (b'{"batchId": "x"}', "batch_id"),
    ],
)
def test_json_that_is_no_request_is_refused(site: Site, http: httpx.Client, body: bytes, why: str) -> None:
    answer = http.post(f"{site.batches}/GetBatchStatus", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert why in answer.json()["message"]
    assert answer.json()["details"][0]["debug"]["reason"] == "INVALID_REQUEST"


def test_an_unknown_field_of_a_binary_request_is_refused(site: Site, http: httpx.Client) -> None:
    answer = http.post(f"{site.batches}/GetServerInfo", content=b"\x98\x06\x01", headers=PROTO)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert "field 99" in answer.json()["message"]


@pytest.mark.parametrize(
    ("rpc", "content_type", "accepted"),
    [
        ("GetServerInfo", "text/plain", "application/proto, application/json"),
        ("GetServerInfo", "application/connect+json", "application/proto, application/json"),
        ("GetServerInfo", "application/grpc", "application/grpc-web+proto"),
        ("GetServerInfo", "application/json; charset=latin-1", "application/json"),
        ("WatchBatch", "application/json", "application/connect+proto, application/connect+json"),
    ],
)
def test_another_content_type_is_told_which_are_taken(
    site: Site, http: httpx.Client, rpc: str, content_type: str, accepted: str
) -> None:
    answer = http.post(f"{site.batches}/{rpc}", content=b"{}", headers={"content-type": content_type})
    assert answer.status_code == 415
    assert accepted in answer.headers["accept-post"]
    assert content_type in answer.text


def test_a_charset_of_utf_8_is_json_too(site: Site, http: httpx.Client) -> None:
    headers = {"content-type": 'application/json; charset="UTF-8"'}
    assert http.post(f"{site.batches}/GetServerInfo", content=b"{}", headers=headers).status_code == 200


def test_no_such_rpc(site: Site, http: httpx.Client) -> None:
    answer = http.post(f"{site.batches}/NoSuchThing", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "unimplemented")


def test_rpcs_that_take_streams_say_where_they_are(site: Site, http: httpx.Client) -> None:
    for url in (f"{site.batches}/SubmitBatchStream", f"{site.images}/UploadImage"):
        answer = http.post(url, content=frame(b"{}"), headers=STREAM)
        messages, end = connect_stream(answer.content)
        assert messages == []
        assert end["error"]["code"] == "unimplemented"
        assert "call it by gRPC" in end["error"]["message"]


def test_a_request_may_be_compressed_and_so_may_its_answer(site: Site, http: httpx.Client) -> None:
    headers = {**JSON, "content-encoding": "gzip"}
    answer = http.post(f"{site.batches}/ListOperations", content=gzip.compress(b"{}"), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.json()["operations"]
    unknown = http.post(f"{site.batches}/ListOperations", content=b"{}", headers={**JSON, "content-encoding": "br"})
    assert (unknown.status_code, unknown.json()["code"]) == (501, "unimplemented")
    assert unknown.headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_request_that_is_too_large_is_refused(site: Site, http: httpx.Client, *, is_compressed: bool) -> None:
    body = b'{"batchId":"' + bytes(20_000_000) + b'"}'
    headers = {**JSON, "content-encoding": "gzip"} if is_compressed else JSON
    answer = http.post(
        f"{site.batches}/GetBatchStatus", content=gzip.compress(body) if is_compressed else body, headers=headers
    )
    assert (answer.status_code, answer.json()["code"]) == (429, "resource_exhausted")
    info = answer.json()["details"][0]["debug"]
    assert (info["reason"], info["metadata"]["limit"]) == ("LIMIT_EXCEEDED", "max_request_bytes")


def test_a_call_ends_when_its_caller_stops_waiting(site: Site, http: httpx.Client, picture: str) -> None:
    slow = {"do": "sleep", "seconds": 30}
    batch_id = submit(http, site, [{"objectKey": picture, "metadata": slow}])["batchId"]
    body = frame(json.dumps({"batchId": batch_id}).encode())
    headers = {**STREAM, "connect-timeout-ms": "300"}
    messages, end = connect_stream(http.post(f"{site.batches}/WatchBatch", content=body, headers=headers).content)
    assert end["error"]["code"] == "deadline_exceeded"
    assert messages[0]["status"]["batchId"] == batch_id
    answer = http.post(f"{site.batches}/CancelBatch", json={"batchId": batch_id})
    assert answer.json()["cancelRequestedAt"]


@pytest.mark.parametrize("timeout", ["-1", "soon", "1.5", "99999999999"])
def test_a_timeout_that_is_none_is_refused(site: Site, http: httpx.Client, timeout: str) -> None:
    answer = http.post(f"{site.batches}/GetServerInfo", json={}, headers={"connect-timeout-ms": timeout})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    assert "Connect-Timeout-Ms" in answer.json()["message"]


def test_another_version_of_the_protocol_is_refused(site: Site, http: httpx.Client) -> None:
    answer = http.post(f"{site.batches}/GetServerInfo", json={}, headers={"connect-protocol-version": "2"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")


def test_an_error_of_a_stream_comes_in_its_end(site: Site, http: httpx.Client) -> None:
    messages, end = watch(http, site, UNKNOWN)
    assert messages == []
    assert end["error"]["code"] == "not_found"
    assert end["error"]["details"][0]["debug"]["reason"] == "BATCH_NOT_FOUND"


def test_an_image_is_downloaded_as_a_binary_stream(site: Site, http: httpx.Client, picture: str) -> None:
    request = image_service_pb2.DownloadImageRequest(object_key=picture).SerializeToString()
    headers = {"content-type": "application/connect+proto", "connect-accept-encoding": "gzip"}
    answer = http.post(f"{site.images}/DownloadImage", content=frame(request), headers=headers)
    *messages, (flags, end) = frames(answer.content)
    header, *chunks = [image_service_pb2.DownloadImageResponse.FromString(data) for _, data in messages]
    assert header.header.file_name == "drawn.png"
    assert b"".join(message.chunk for message in chunks) == pictures.drawn()
    assert (flags, end) == (2, b"{}")
