"""User name and password in an image's URL: used where they belong, and shown nowhere."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, plain, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, free_port, running_server

from imagebatch.v1.batch_service_pb2 import DeleteBatchRequest, RetryBatchRequest
from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, BATCH_STATUS_FAILED, ITEM_ERROR_CODE_DUPLICATE

METRICS = f"127.0.0.1:{free_port()}"
SECRET = "s3cr3t"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(folder, {"metrics_address": METRICS, "log_level": "debug"}, OPERATIONS) as running:
        yield running


class Locked:
    """A host that wants a password, which is right once the door is unlocked."""

    def __init__(self) -> None:
        wanted = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
        is_open = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                may_pass = is_open.is_set() and self.headers.get("Authorization") == wanted
                body = pictures.drawn() if may_pass else b""
                self.send_response(200 if may_pass else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.unlock = is_open.set
        self.port = self._server.server_port

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def locked() -> Iterator[Locked]:
    host = Locked()
    yield host
    host.close()


def test_credentials_are_used_and_shown_nowhere(
    server: ServerProcess, raw: Raw, locked: Locked, tmp_path: Path
) -> None:
    shown = f"http://127.0.0.1:{locked.port}/picture?x=1"
    url = shown.replace("//", f"//user:{SECRET}@")
    items = [item(image_url=url), item(image_url=url), item(image_url=shown), item(image_url=f"{url}:99999")]
    items.append(item(image_url=f"http://user:{SECRET}@host:99999/"))
    batch_id = raw.submit(items, skip_duplicates=True, max_attempts=1).batch_id
    watched = raw.watch_to_end(batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_FAILED
    locked.unlock()
    raw.batches.RetryBatch(RetryBatchRequest(batch_id=batch_id))
    raw.watch_to_end(batch_id, watched.sequence)
    page = raw.page(batch_id)
    assert [plain(result.input_data)["image_url"] for result in page.results[:3]] == [shown] * 3
    assert page.results[0].error_message == ""
    assert page.results[1].error_code == ITEM_ERROR_CODE_DUPLICATE, "equal with what is hidden"
    assert "status 401" in page.results[2].error_message, "and not without"
    connection = http.client.HTTPConnection(METRICS)
    connection.request("GET", "/metrics")
    metrics = connection.getresponse().read().decode()
    for text in (str(watched), str(raw.watch_to_end(batch_id)), str(page), server.log, metrics):
        assert SECRET not in text
    raw.batches.DeleteBatch(DeleteBatchRequest(batch_id=batch_id))
    assert refused(lambda: raw.page(batch_id)).code.name == "NOT_FOUND"


def test_one_forbidden_host_is_told_to_the_operator_only(server: ServerProcess, raw: Raw) -> None:
    batch_id = raw.submit([item(image_url="http://[::ffff:10.0.0.9]/"), item(image_url="http://[fe80::9]/")]).batch_id
    watched = raw.watch_to_end(batch_id)
    assert watched.statuses[-1].status != BATCH_STATUS_COMPLETED
    eventually(lambda: "fetch.forbidden" in server.log)
    (line,) = [line for line in server.log.splitlines() if "fetch.forbidden" in line]
    assert '"kind"' in line
    assert "IMAGEBATCH_FETCH_ALLOWED_HOSTS" in line
