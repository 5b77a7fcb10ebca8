"""Peers that are slow, silent or gone: they hold little, and nobody waits for them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.http.conftest import Site, secret
from tests.integration.http.frames import frame
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.operations_for_tests import OPERATIONS
from tests.server import free_port, running_server

MIB = 1024 * 1024
READERS = 40
STREAM = {"content-type": "application/connect+json"}


@contextmanager
def asking(url: str, method: str = "GET", body: bytes = b"", **headers: str) -> Iterator[socket.socket]:
    """Send a request, and read nothing."""
    parts = urlsplit(url)
    fields = {"host": parts.netloc, "content-length": str(len(body)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((parts.hostname or "", parts.port or 0))
        connection.sendall(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
        yield connection


def memory(site: Site) -> int:
    return int(psutil.Process(site.server.process.pid).memory_info().rss)


def figure(site: Site, name: str) -> float:
    answer = httpx.get(
        f"{site.url}/metrics", headers={"authorization": f"Bearer {secret('operator')}"}, trust_env=False
    )
    (found,) = [each for each in text_string_to_metric_families(answer.text) if each.name == f"imagebatch_{name}"]
    return float(found.samples[0].value)


def test_readers_that_stall_hold_little_and_up_nobody(site: Site, http: httpx.Client, raw: Raw, picture: str) -> None:
    """Forty of a 12 MB image, and forty of a watch of 8 MB: 800 MB, if somebody kept them."""
    data = pictures.noisy("BMP", (2000, 2000))
    large = item(object_key=raw.upload(data).object_key)
    (shown,) = raw.watch_to_end(raw.submit([large]).batch_id).results
    many = [item(object_key=picture, metadata={"characters": 20_000}) for _ in range(400)]
    batch_id = raw.submit(many, operation="verbose").batch_id
    raw.watch_to_end(batch_id)
    watch = frame(json.dumps({"batchId": batch_id}).encode())
    before = memory(site)
    with ExitStack() as stack:
        for _ in range(READERS):
            stack.enter_context(asking(shown.stored_image_url))
            stack.enter_context(asking(f"{site.batches}/WatchBatch", "POST", watch, **STREAM))
        for _ in range(20):  # while they all wait, others are served
            assert http.post(f"{site.batches}/GetBatchStatus", json={"batchId": batch_id}).status_code == 200
        assert http.get(shown.stored_image_url).content == data
        assert memory(site) - before < 250 * MIB


def test_a_watch_ends_with_its_connection(guarded: Site, tmp_path: Path) -> None:
    client = httpx.Client(headers={"authorization": f"Bearer {secret('writer')}"}, trust_env=False)
    gate = tmp_path / "gate"
    waits = {"do": "wait", "until": str(gate)}
    items = [{"imageBase64": pictures.data_url(pictures.drawn()), "metadata": waits}]
    submitted = client.post(
        f"{guarded.batches}/SubmitBatch", json={"options": {"operation": "scripted"}, "items": items}
    )
    batch_id = submitted.json()["batchId"]
    watch = frame(json.dumps({"batchId": batch_id}).encode())
    token = {"authorization": f"Bearer {secret('writer')}"}
    with asking(f"{guarded.batches}/WatchBatch", "POST", watch, **STREAM, **token):
        eventually(lambda: figure(guarded, "watchers") == 1)
    eventually(lambda: figure(guarded, "watchers") == 0)

    def has_status(status: str) -> bool:
        answer = client.post(f"{guarded.batches}/GetBatchStatus", json={"batchId": batch_id}).json()
        return bool(answer["status"] == status)

    eventually(lambda: has_status("BATCH_STATUS_PROCESSING"))  # written a moment after its begin
    gate.touch()
    eventually(lambda: has_status("BATCH_STATUS_COMPLETED"))
    client.close()


@pytest.mark.parametrize(
    "head", [b"", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: "]
)
def test_a_head_without_end_is_cut(site: Site, head: bytes) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60.0) as connection:
        connection.sendall(head)
        assert connection.recv(4096) == b""


def test_a_head_that_is_too_large_is_refused(site: Site) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60.0) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_does_not_come_is_not_waited_for(site: Site) -> None:
    with asking(
        f"{site.batches}/GetServerInfo", "POST", b"", **{"content-type": "application/json", "content-length": "9"}
    ) as half:
        half.settimeout(60.0)
        half.sendall(b"{")
        answer = b""
        while b"came too slowly" not in answer and (part := half.recv(4096)):
            answer += part
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"came too slowly" in answer


def test_watches_end_when_the_server_stops(tmp_path_factory: pytest.TempPathFactory) -> None:
    address = f"127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("stopping") / "data"
    with running_server(folder, {"http_address": address, "stop_grace_s": "1"}, OPERATIONS) as server:
        raw = Raw(server.address)
        slow = {"do": "sleep", "seconds": 60}
        image = pictures.data_url(pictures.drawn())
        batch_id = raw.submit([item(image_base64=image, metadata=slow)]).batch_id
        raw.close()
        watch = frame(json.dumps({"batchId": batch_id}).encode())
        with asking(f"http://{address}/imagebatch.v1.BatchService/WatchBatch", "POST", watch, **STREAM) as connection:
            connection.settimeout(30.0)
            seen = connection.recv(65536)
            server.terminate()
            while b'"error"' not in seen:
                more = connection.recv(65536)
                assert more, seen
                seen += more
            assert b'"code": "unavailable"' in seen
            assert b"DRAINING" in seen
        assert server.wait() == 0
