"""A grpc.aio server that sends and takes bytes, and writes rows by the driver: `python -m benchmarks.bare.server`.

Its client says by `Prepare` what the next calls are to do, so that rows and messages are made outside of the clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from benchmarks.bare import rows
from benchmarks.bare.store import ROWS_A_COMMIT, BareStore, open_store
from imagebatch_server.store.tables import items, outcomes

SERVICE = "bare"
RESULTS_A_MESSAGE = 100
OUTCOMES_A_COMMIT = 500
MESSAGE_BYTES = 32 * 1024 * 1024


class Bare:
    """All the limits; calls carry bytes."""

    def __init__(self) -> None:
        self._store: BareStore | None = None
        self._items: list[list[tuple[Any, ...]]] = []
        self._outcomes: list[list[tuple[Any, ...]]] = []
        self._messages: list[bytes] = []

    async def prepare(self, request: bytes, context: Any) -> bytes:
        """Make ready what the next calls write and send."""
        asked = json.loads(request)
        if "messages" in asked:
            self._messages = read_messages(Path(asked["messages"]))
        if "database_url" in asked:
            self._store = open_store(asked["database_url"])
        if "items" in asked:
            self._make_rows(asked["items"], with_outcomes=asked["with_outcomes"])
        return b""

    def _make_rows(self, count: int, *, with_outcomes: bool) -> None:
        assert self._store is not None  # `prepare` was given a database first
        batch_id, at = rows.new_batch_id(), self._store.now()
        new_items = [rows.item_row(batch_id, index) for index in range(count)]
        self._items = [new_items[first : first + ROWS_A_COMMIT] for first in range(0, count, ROWS_A_COMMIT)]
        if not with_outcomes:
            return
        new_outcomes = [rows.outcome_row(batch_id, index, at) for index in range(count)]
        self._outcomes = [
            new_outcomes[first : first + OUTCOMES_A_COMMIT] for first in range(0, count, OUTCOMES_A_COMMIT)
        ]
        self._messages = rows.result_messages(batch_id, count, RESULTS_A_MESSAGE)

    async def submit(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """Take a stream of items' bytes, and write the items' rows."""
        assert self._store is not None
        waiting = list(reversed(self._items))
        writing: asyncio.Future[None] | None = None
        async for _ in requests:
            if waiting:
                if writing is not None:
                    await writing
                writing = self._in_thread(self._store.insert, items, waiting.pop())
        if writing is not None:
            await writing
        while waiting:
            await self._in_thread(self._store.insert, items, waiting.pop())
        return b""

    async def run(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Write the outcomes' rows, and send the results of each commit while the next one is written."""
        assert self._store is not None
        messages = iter(self._messages)
        writing = self._in_thread(self._store.insert, outcomes, self._outcomes[0])
        for position, group in enumerate(self._outcomes):
            await writing
            if position + 1 < len(self._outcomes):
                writing = self._in_thread(self._store.insert, outcomes, self._outcomes[position + 1])
            for _ in range(-(-len(group) // RESULTS_A_MESSAGE)):
                yield next(messages)

    async def replay(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Send the messages, as fast as they are taken."""
        for message in self._messages:
            yield message

    async def unary(self, request: bytes, context: Any) -> bytes:
        """Answer the one message."""
        return self._messages[0]

    async def paced(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Send the one message so many times, so many seconds apart, with the time in front."""
        count, apart_s = request.decode().split()
        next_at = time.monotonic()
        for _ in range(int(count)):
            next_at += float(apart_s)
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            yield str(time.monotonic()).ljust(24).encode() + self._messages[0]

    def handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "Prepare": grpc.unary_unary_rpc_method_handler(self.prepare),
                "Submit": grpc.stream_unary_rpc_method_handler(self.submit),
                "Run": grpc.unary_stream_rpc_method_handler(self.run),
                "Replay": grpc.unary_stream_rpc_method_handler(self.replay),
                "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
                "Paced": grpc.unary_stream_rpc_method_handler(self.paced),
            },
        )

    @staticmethod
    def _in_thread(work: Any, *arguments: Any) -> asyncio.Future[None]:
        return asyncio.get_running_loop().run_in_executor(None, work, *arguments)


def write_messages(path: Path, messages: list[bytes]) -> None:
    """For `Prepare`: messages, each after its length."""
    with path.open("wb") as file:
        for message in messages:
            file.write(len(message).to_bytes(4, "big") + message)


def read_messages(path: Path) -> list[bytes]:
    """Read what `write_messages` wrote."""
    data = path.read_bytes()
    messages, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        messages.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return messages


async def serve() -> None:
    """Serve on a free port until standard input ends, which it does with the process that started us."""
    server = aio.server(options=(("grpc.max_receive_message_length", MESSAGE_BYTES),))
    server.add_generic_rpc_handlers((Bare().handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve())
