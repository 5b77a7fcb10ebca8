"""The child that has many items in flight: asynchronous operations, on one event loop."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import time
from typing import Any

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.model import Outcome
from imagebatch_server.executors.child import confinement, outcomes
from imagebatch_server.executors.child.runner import Runner
from imagebatch_server.executors.protocol.frames import frame, read_to_concurrent
from imagebatch_server.executors.protocol.messages import (
    EXIT_FULL,
    EXIT_OUT_OF_MEMORY,
    Begun,
    Cancel,
    Chunk,
    Done,
    Ended,
    Loaded,
    Loading,
    Message,
    Ready,
    Retiring,
    Start,
    Task,
    Up,
)
from imagebatch_server.operations.base import AsyncOperation
from imagebatch_server.operations.servers import set_server_count

_READ_BYTES = 1024 * 1024


def serve(channel: socket.socket, start: Start) -> None:
    """Serve until the worker closes its end. Raises ConnectionError, or MemoryError if an item takes it all."""
    asyncio.run(_serve(channel, start))


async def _serve(channel: socket.socket, start: Start) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=_READ_BYTES)
    child = _ConcurrentChild(writer, start)
    child.get_ready(start.warm)
    try:
        while True:
            child.take(await read_to_concurrent(reader))
    except asyncio.IncompleteReadError:
        os._exit(0)  # the worker is gone, and with it whoever wanted an answer


class _ConcurrentChild:
    """Answer a worker. Chunks, each of one task, are numbered as they come, from 1."""

    def __init__(self, writer: asyncio.StreamWriter, start: Start) -> None:
        self._writer = writer
        self._memory = confinement.MemoryWatch(start.memory_bytes)
        self._runner = Runner(
            start.operations, start.max_image_pixels, start.configuration, makes_previews=start.makes_previews
        )
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._cancelled: set[int] = set()
        self._last_number = 0
        self._retiring = False

    def get_ready(self, warm: list[str]) -> None:
        """Load what is to be warm."""
        self._send(Up())
        for name in warm:
            self._load(name)
        self._send(Ready())

    def take(self, message: Cancel | tuple[Task, Chunk, bytes]) -> None:
        """Begin with an item, or let go of one."""
        if isinstance(message, Cancel):
            if message.number in self._tasks:
                self._cancelled.add(message.number)
                self._tasks[message.number].cancel()
            return
        _, chunk, _ = message
        set_server_count(chunk.servers)
        self._last_number += 1
        number = self._last_number
        self._tasks[number] = asyncio.get_running_loop().create_task(self._see_through(number, *message))
        self._tasks[number].add_done_callback(functools.partial(self._seen_through, number))

    async def _see_through(self, number: int, task: Task, chunk: Chunk, data: bytes) -> None:
        try:
            done = await self._run(number, task, chunk, data)
        except MemoryError:
            os._exit(EXIT_OUT_OF_MEMORY)  # at once: cleaning up takes memory too
        except Exception as error:  # of the operation's `slot`
            done = outcomes.failure(task, chunk.operation, error)
        self._end(number, done)  # in the item's own step: if another one takes the child down next, this one is over

    def _seen_through(self, number: int, seeing: asyncio.Task[None]) -> None:
        # Cancelled: by the worker, before the item was begun, perhaps before the first line above ran.
        if seeing.cancelled():
            self._end(number, None)

    def _end(self, number: int, done: Done | None) -> None:
        del self._tasks[number]
        self._cancelled.discard(number)
        self._send(Ended(number, done))
        self._retire_if_full()

    async def _run(self, number: int, task: Task, chunk: Chunk, data: bytes) -> Done:
        why_not = self._load(chunk.operation)
        if why_not is not None:
            return outcomes.internal(task, why_not)
        operation = self._runner.get(chunk.operation)
        if not isinstance(operation, AsyncOperation):
            return outcomes.internal(task, f"operation {chunk.operation} is not asynchronous")
        async with operation.slot():
            self._send(Begun(number))
            began = time.perf_counter()
            try:
                return await self._runner.run_async(operation, chunk.parameters, task, data)
            except asyncio.CancelledError:
                done = self._stopped(number, task, operation)
                done.run_s = time.perf_counter() - began
                return done

    def _stopped(self, number: int, task: Task, operation: AsyncOperation[Any]) -> Done:
        if number not in self._cancelled:
            return outcomes.internal(task, f"operation {operation.name} cancelled itself")
        # The worker knows what the time was, and says so.
        outcome = Outcome(task.item_index, BatchItemStatus.FAILED, ItemErrorCode.TIMEOUT, "stopped")
        return Done(outcome, transient=True)

    def _load(self, name: str) -> str | None:
        if self._runner.has_loaded(name):
            return None
        self._send(Loading(name))
        began = time.perf_counter()
        failed = self._runner.load(name)
        self._send(failed or Loaded(time.perf_counter() - began))
        return None if failed is None else failed.explanation

    def _retire_if_full(self) -> None:
        if not self._retiring and self._memory.is_full():
            self._retiring = True
            self._send(Retiring())
        if self._retiring and not self._tasks:
            os._exit(EXIT_FULL)

    def _send(self, message: Message) -> None:
        # Handed to the system at once while the worker reads, as it always does; so a crash loses no word.
        self._writer.write(frame(message))
