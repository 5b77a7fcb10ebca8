"""A box between a server and its PostgreSQL, which can go silent, or lead to another PostgreSQL from now on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url
from tests.postgres import ROLE, PostgresServer


class Proxy:
    """Hands on what comes in by TCP to PostgreSQL's Unix socket, and back."""

    def __init__(self, target: Path) -> None:
        self.target = target
        """Where new connections lead to; it may be changed."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._silent: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def silence(self) -> None:
        """Drop what comes by the connections that there are, and break none of them off; new ones work."""
        self._silent |= self._open

    def close(self) -> None:
        for one in (self._listening, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(str(self.target))
                except OSError:  # it is away
                    client.close()
                    server.close()
                    continue
                self._open |= {client, server}
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=(source, sink), daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # closed, or killed
            while data := source.recv(65_536):
                if source not in self._silent:
                    sink.sendall(data)
        if source not in self._silent:
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)


@contextmanager
def proxied(postgres: PostgresServer, url: str) -> Iterator[tuple[Proxy, str]]:
    """Put a proxy before a database; gives it, and the database's URL through it."""
    proxy = Proxy(postgres.socket)
    try:
        yield proxy, f"postgresql+psycopg://{ROLE}@127.0.0.1:{proxy.port}/{make_url(url).database}"
    finally:
        proxy.close()
