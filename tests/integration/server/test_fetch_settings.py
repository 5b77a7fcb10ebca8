"""What an operator sets for fetching, on a whole server: headers that are read again, a proxy, and what is wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item
from tests.operations_for_tests import OPERATIONS
from tests.server import SERVE, ServerProcess, running_server

from imagebatch.v1.types_pb2 import BATCH_STATUS_COMPLETED

SECRET = "s3cr3t"


class Private:
    """An image host, or a proxy, that notes what each request brought."""

    def __init__(self) -> None:
        keys: list[str | None] = []
        paths: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.append(self.headers.get("X-Key"))
                paths.append(self.path)
                body = pictures.drawn()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.keys = keys
        self.paths = paths
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def private() -> Iterator[Private]:
    host = Private()
    yield host
    host.close()


def fetch(server: ServerProcess, url: str) -> None:
    raw = Raw(server.address)
    batch_id = raw.submit([item(image_url=url)], "noop").batch_id
    watched = raw.watch_to_end(batch_id)
    assert watched.statuses[-1].status == BATCH_STATUS_COMPLETED, watched.results
    assert SECRET not in str(watched)
    raw.close()


def test_headers_for_private_hosts_are_read_again_when_they_change(tmp_path: Path, private: Private) -> None:
    file = tmp_path / "headers.toml"
    file.write_text(f'["http://127.0.0.1"]\nX-Key = "{SECRET}-1"\n')
    with running_server(tmp_path / "data", {"fetch_headers": str(file)}, OPERATIONS) as server:
        fetch(server, f"{private.url}/a")
        file.write_text(f'["http://127.0.0.1"]\nX-Key = "{SECRET}-2\n')  # half written
        eventually(lambda: "access.files_refused" in server.log)
        fetch(server, f"{private.url}/b")
        file.write_text(f'["http://127.0.0.1"]\nX-Key = "{SECRET}-2"\n')
        eventually(lambda: "access.files_taken" in server.log)
        fetch(server, f"{private.url}/c")
        assert private.keys == [f"{SECRET}-1", f"{SECRET}-1", f"{SECRET}-2"]
        assert SECRET not in server.log


def test_a_proxy_is_what_is_connected_to(tmp_path: Path, private: Private) -> None:
    settings = {"fetch_proxy": private.url.replace("//", f"//user:{SECRET}@"), "fetch_allowed_networks": ""}
    with running_server(tmp_path / "data", settings, OPERATIONS) as server:
        fetch(server, "http://only-the-proxy-knows.invalid/picture")
        assert private.paths == ["http://only-the-proxy-knows.invalid/picture"]
        assert SECRET not in server.log


WRONG = {
    "--fetch-allowed-hosts=*.x": "'*.x' is no host",
    "--fetch-allowed-networks=10.0.0.1/8": "'10.0.0.1/8' is no network",
    "--fetch-ca-file=/nonexistent/ca.pem": "--fetch-ca-file /nonexistent/ca.pem: No such file",
    "--fetch-ca-file=/dev/null": "no certificates in PEM",
    "--fetch-headers=/nonexistent/headers.toml": "/nonexistent/headers.toml: No such file",
    "--fetch-proxy=socks5://proxy:1080": "is no proxy; write it as http://host:port",
    "--fetch-proxy=proxy:3128": "is no proxy; write it as http://host:port",
    "--fetches-per-network=0": "greater than or equal to 1",
}


@pytest.mark.parametrize("flag", WRONG)
def test_what_is_set_wrong_is_one_line(tmp_path: Path, flag: str) -> None:
    command = [*SERVE, flag, "--address=127.0.0.1:0", f"--data-dir={tmp_path}", "--log-level=error"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode in (1, 2)
    (line,) = ended.stderr.splitlines()
    assert WRONG[flag] in line
