"""Hosts that limit how often they are asked: every image comes, at the host's rate, and no attempt is spent on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.operations import OPERATIONS
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, item
from tests.server import running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED, ITEM_ERROR_CODE_FETCH_FAILED
from imagebatch_client import BatchClient


class LimitedHost:
    """A web server that gives out `rate` pictures a second, and says 429 and Retry-After to all else."""

    def __init__(self, rate: float) -> None:
        self.given: list[float] = []
        self.refused = 0
        self._rate = rate
        self._left = rate
        self._at = time.monotonic()
        self._lock = threading.Lock()
        limited, picture = self, pictures.drawn()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if limited._lets_through():
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(picture)))
                    self.end_headers()
                    self.wfile.write(picture)
                else:
                    self.send_response(429)
                    self.send_header("Retry-After", "1")
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _lets_through(self) -> bool:
        with self._lock:
            now = time.monotonic()
            self._left = min(self._rate, self._left + (now - self._at) * self._rate)
            self._at = now
            if self._left < 1.0:
                self.refused += 1
                return False
            self._left -= 1.0
            self.given.append(now)
            return True

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def limited(rate: float) -> Iterator[LimitedHost]:
    host = LimitedHost(rate)
    try:
        yield host
    finally:
        host.close()


@pytest.mark.timeout(900)
def test_every_image_of_a_limited_host_comes_at_its_rate(tmp_path: Path, scale: float, tell: Tell) -> None:
    count, rate = (1_000, 5.0) if scale > 1 else (150, 20.0)
    with limited(rate) as host, running_server(tmp_path / "data", operations=OPERATIONS) as server:
        raw = Raw(server.address)
        began = time.monotonic()
        batch_id = raw.submit([item(image_url=f"{host.url}/{index}") for index in range(count)]).batch_id
        with BatchClient(server.address) as client:
            client.wait_for_completion(batch_id, timeout=600)
        took_s = time.monotonic() - began
        watched = raw.watch_to_end(batch_id)
        assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED
        assert {result.attempts for result in watched.results} == {1}
        assert len(host.given) == count
        # The host lets as many as it gives a second through at first, and then so many each second.
        best_s = (count - rate) / rate
        assert took_s <= 1.2 * best_s + 6.0
        assert host.refused <= count / 4
        tell(
            f"{count} URLs on a host that gives {rate:g} a second: {took_s:.1f} s where {best_s:.1f} s is best, "
            f"{host.refused} requests refused, every item in one attempt"
        )
        raw.close()


def test_a_host_that_never_has_time_costs_its_items_and_their_patience(tmp_path: Path, tell: Tell) -> None:
    settings = {"fetch_patience_s": "3"}
    with limited(0.5) as host, running_server(tmp_path / "data", settings, operations=OPERATIONS) as server:
        raw = Raw(server.address)
        picture = raw.upload(pictures.drawn()).object_key
        began = time.monotonic()
        busy = raw.submit([item(image_url=f"{host.url}/{index}") for index in range(50)]).batch_id
        other = raw.submit([item(object_key=picture) for _ in range(50)]).batch_id
        assert raw.watch_to_end(other).statuses[-1].status == BATCH_STATUS_COMPLETED
        other_s = time.monotonic() - began
        results = raw.watch_to_end(busy).results
        took_s = time.monotonic() - began
        assert {result.error_code for result in results} == {ITEM_ERROR_CODE_FETCH_FAILED}
        assert 3.0 <= took_s <= 20.0
        tell(
            f"50 URLs on a host that says 429 to all fail after {took_s:.1f} s; 50 uploads beside take {other_s:.1f} s"
        )
        raw.close()
