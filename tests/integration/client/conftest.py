from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import grpc
import pytest
from tests.integration.client.scripted import Attempt, ScriptedServer

from imagebatch_client import AsyncBatchClient, BatchClient, ConnectionSettings


class Closing(BatchClient):
    """The synchronous client, with the other's name for closing it alone."""

    close_only = BatchClient.close


class Awaiting:
    """The asynchronous client with the synchronous one's face, so that one test holds for both."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self._runner = asyncio.Runner()
        self._client = AsyncBatchClient(settings)

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            answer = getattr(self._client, name)(*args, **kwargs)
            return self._each(answer) if inspect.isasyncgen(answer) else self._runner.run(answer)

        return call

    def _each(self, answers: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._runner.run(anext(answers))
                except StopAsyncIteration:
                    return
        finally:
            self._runner.run(answers.aclose())

    def close_only(self) -> None:
        """Close the client, but not the event loop in which it is then still called."""
        self._runner.run(self._client.close())

    def close(self) -> None:
        self.close_only()
        self._runner.close()


@pytest.fixture(params=[Closing, Awaiting], ids=["sync", "aio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Make a client of the given server, synchronous in one run of the test and asynchronous in the other."""
    opened: list[Any] = []

    def make(server: ScriptedServer, **settings: Any) -> Any:
        opened.append(request.param(ConnectionSettings(server.address, **settings)))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    servers: list[ScriptedServer] = []

    def start(
        port: int = 0, *, credentials: grpc.ServerCredentials | None = None, **script: Sequence[Attempt]
    ) -> ScriptedServer:
        servers.append(ScriptedServer(port, credentials=credentials, **script))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
