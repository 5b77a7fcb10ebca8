"""The child that fetches: whatever strangers' hosts send comes no further than this process, but for images."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import threading
import traceback
from ipaddress import ip_network

from imagebatch.v1.enums import ItemErrorCode
from imagebatch_server.batches.errors import ItemError
from imagebatch_server.executors.protocol.fetching import (
    PART_BYTES,
    Arrived,
    Fetch,
    Forbidden,
    MadeRoom,
    NotFetched,
    Part,
    Ping,
    Pong,
    Slow,
    StartFetching,
    Take,
    ToFetchingChild,
    UseHeaders,
)
from imagebatch_server.executors.protocol.frames import frame, read_to_fetching
from imagebatch_server.executors.protocol.messages import EXIT_OUT_OF_MEMORY, Message, Ready, Up
from imagebatch_server.images.download import Displaced
from imagebatch_server.images.fetch import Fetched, Fetcher
from imagebatch_server.images.guard import ForbiddenHost, Guard

_READ_BYTES = 64 * 1024
_STACK_BYTES = 512 * 1024
"""Of threads, which look names up: their stacks count as the process's memory."""


def serve(channel: socket.socket, start: StartFetching) -> None:
    """Serve until the server closes its end. Raises ConnectionError."""
    threading.stack_size(_STACK_BYTES)
    asyncio.run(_serve(channel, start))


async def _serve(channel: socket.socket, start: StartFetching) -> None:
    reader, writer = await asyncio.open_connection(sock=channel, limit=_READ_BYTES)
    guard = Guard(start.allowed_hosts, [ip_network(network) for network in start.allowed_networks])
    fetcher = Fetcher(
        guard,
        max_bytes=start.max_image_bytes,
        max_redirects=start.max_redirects,
        max_memory_bytes=start.download_bytes,
        shares=start.shares,
        ca_pem=start.ca_pem,
        proxy=start.proxy,
    )
    async with fetcher:
        child = _FetchingChild(fetcher, writer)
        child.get_ready()
        try:
            while True:
                child.take(await read_to_fetching(reader))
        except asyncio.IncompleteReadError:
            os._exit(0)  # the server is gone, and with it whoever wanted an answer


class _FetchingChild:
    """Answers the server."""

    def __init__(self, fetcher: Fetcher, writer: asyncio.StreamWriter) -> None:
        self._fetcher = fetcher
        self._writer = writer
        self._fetches: dict[int, asyncio.Task[None]] = {}
        self._takers: dict[int, asyncio.Future[None]] = {}

    def get_ready(self) -> None:
        """Say that fetches are welcome."""
        self._send(Up())
        self._send(Ready())

    def take(self, message: ToFetchingChild) -> None:
        """Do what the server asks for."""
        if isinstance(message, Fetch):
            task = asyncio.get_running_loop().create_task(self._fetch(message))
            self._fetches[message.number] = task
            task.add_done_callback(functools.partial(self._ended, message.number))
        elif isinstance(message, UseHeaders):
            self._fetcher.headers = message.tables
        elif isinstance(message, Ping):
            self._send(Pong())
        elif isinstance(message, Take):
            taker = self._takers.get(message.number)
            if taker is not None and not taker.done():
                taker.set_result(None)
        elif message.number in self._fetches:
            self._fetches[message.number].cancel()

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        del self._fetches[number]
        if not task.cancelled() and isinstance(task.exception(), MemoryError):
            os._exit(EXIT_OUT_OF_MEMORY)  # at once: cleaning up takes memory too

    async def _fetch(self, fetch: Fetch) -> None:
        number = fetch.number
        try:
            await self._fetcher.fetch(
                fetch.url,
                tenant=fetch.tenant,
                batch_id=fetch.batch_id,
                timeout_s=fetch.timeout_s,
                on_slow=lambda: self._send(Slow(number)),
                deliver=functools.partial(self._deliver, number),
            )
        except ItemError as error:
            self._send(_not_fetched(number, error))
        except Displaced:
            self._send(MadeRoom(number))
        except (ConnectionError, MemoryError):
            raise
        except Exception as error:  # a defect of ours, which must not cost the others
            traceback.print_exception(error)  # what is printed goes to the server's log
            why = f"the image could not be fetched: {type(error).__name__}; see the server's log"
            self._send(NotFetched(number, ItemErrorCode.INTERNAL, why, transient=False))

    async def _deliver(self, number: int, fetched: Fetched) -> None:
        self._takers[number] = taken = asyncio.get_running_loop().create_future()
        try:
            self._send(Arrived(number, len(fetched.data), fetched.content_type, fetched.took_s))
            await taken
            for start in range(0, len(fetched.data) or 1, PART_BYTES):
                self._send(Part(number, fetched.data[start : start + PART_BYTES]))
                await self._writer.drain()
        finally:
            del self._takers[number]

    def _send(self, message: Message) -> None:
        self._writer.write(frame(message))


def _not_fetched(number: int, error: ItemError) -> NotFetched:
    return NotFetched(
        number,
        error.code,
        error.message,
        error.transient,
        error.busy,
        error.retry_after_s,
        Forbidden(error.host, error.address, error.kind) if isinstance(error, ForbiddenHost) else None,
    )
