"""A web server that behaves as its paths say, for tests that run outside any event loop."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.integration.server import pictures


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """With 5, connections that come at once wait a second for another try."""


class Web:
    """`/picture` answers a PNG, `/status/N` a status, `/hang` nothing while the server is up."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        ended = threading.Event()
        requested: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requested.append(self.path)
                kind = self.path.partition("?")[0].split("/")[1:]
                if kind[0] == "hang":
                    ended.wait()
                    return
                status = int(kind[1]) if kind[0] == "status" else 200
                body = pictures.drawn() if status == 200 else b"no such picture"
                self.send_response(status)
                self.send_header("Content-Type", "image/png")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = _Server((host, 0), Handler)
        self._ended = ended
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.requested = requested
        self.url = f"http://{host}:{self._server.server_port}"

    def close(self) -> None:
        """Let go of everyone who waits."""
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Web]:
    """Run a Web."""
    web = Web(host)
    try:
        yield web
    finally:
        web.close()
