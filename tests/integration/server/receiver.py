"""A receiver of notifications, as others run it."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """A web server that keeps what it is posted, and answers by the path: `/STATUS`, or `/STATUS/FIRST-STATUS`."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self.arrived = threading.Event()
        self.hold = threading.Event()
        self.hold.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                before = [path for path, _, _ in receiver.posts if path == self.path]
                receiver.posts.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                receiver.arrived.set()
                receiver.hold.wait()
                statuses = [int(part) for part in self.path.split("/")[1:] if part.isdecimal()]
                self.send_response(statuses[-1] if not before else statuses[0])
                self.send_header("Location", "/200")
                self.end_headers()
                self.wfile.write(b"a secret of the receiver's own")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def of(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        """Give the headers and bodies that came to a path."""
        return [(headers, body) for at, headers, body in self.posts if at == path]

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
