"""Connections that may have to be given up: they say nothing any more, or the server is to end.

A process of PostgreSQL that was stopped, or a box on the way that drops packets, leaves a connection that neither
answers nor breaks, and TCP's own limits see only the second. Whoever waits on it is woken by shutting its socket down,
and finds a connection that is lost, as after a crash. A statement of SQLite is interrupted.
"""

from __future__ import annotations

import math
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

from imagebatch_server.batches.errors import StoreUnavailable

if TYPE_CHECKING:
    import psycopg

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0


class Silence:
    """Knows a database's connections, and watches those to PostgreSQL that are waited on, until `close`."""

    def __init__(self, limit_s: float, on_silent: Callable[[], None]) -> None:
        """`limit_s` is how long PostgreSQL may take for one answer; `on_silent` is called when it took longer."""
        self._limit_s = limit_s
        self._on_silent = on_silent
        self._waiting: dict[psycopg.Connection[Any], float] = {}
        self._of_sqlite: list[sqlite3.Connection] = []
        self._is_cut = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="store-silence", daemon=True)

    def add(self, connection: sqlite3.Connection) -> None:
        """Know a connection of SQLite, which is kept for good."""
        self._of_sqlite.append(connection)

    @contextmanager
    def waiting(self, connection: psycopg.Connection[Any], *, patiently: bool) -> Iterator[None]:
        """Watch a connection to PostgreSQL while the block waits for it; `patiently`: for as long as it takes."""
        if self._thread.ident is None:
            self._thread.start()
        self._waiting[connection] = math.inf if patiently else time.monotonic()
        try:
            yield
        finally:
            del self._waiting[connection]

    def cut(self) -> None:
        """Break off whatever is being waited for, and let nobody connect any more."""
        self._is_cut = True
        for connection in list(self._waiting):
            _break_off(connection)
        for of_sqlite in self._of_sqlite:
            with suppress(sqlite3.ProgrammingError):  # it was closed
                of_sqlite.interrupt()

    def ensure_open(self) -> None:
        """Make sure that a new connection would not be waited for in vain. Raises StoreUnavailable."""
        if self._is_cut:
            raise StoreUnavailable("the server is stopping")

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            now = time.monotonic()
            silent = [connection for connection, since in list(self._waiting.items()) if now - since > self._limit_s]
            if silent:
                log.warning("database.connection_silent", connections=len(silent), for_s=round(self._limit_s))
                self._on_silent()
            for connection in silent:
                _break_off(connection)


def _break_off(connection: psycopg.Connection[Any]) -> None:
    # Through a copy of the descriptor: the driver still polls its own.
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as its_socket:
        its_socket.shutdown(socket.SHUT_RDWR)
