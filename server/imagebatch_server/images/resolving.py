"""Names to addresses, all of which are allowed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from imagebatch_server.images.addresses import Address, parse
from imagebatch_server.images.guard import Guard


class GuardedResolver(AbstractResolver):
    """Answer for the HTTP client that connects by itself.

    `found` is called with the first address of a name, before it is connected to.
    """

    def __init__(self, guard: Guard, found: Callable[[Address], Awaitable[None]]) -> None:
        self._guard = guard
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await _lookup(host, port, family)
        await self._found(_checked(self._guard, host, found))
        return _results(host, port, found)

    async def close(self) -> None:
        """Nothing to close."""


class ProxyResolver(AbstractResolver):
    """Find the operator's proxy, which may be anywhere."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return _results(host, port, await _lookup(host, port, family))

    async def close(self) -> None:
        """Nothing to close."""


async def checked_address(guard: Guard, host: str) -> Address | None:
    """Check a name that a proxy is to be asked for; None for one that only the proxy may know. Raises ForbiddenHost."""
    try:
        found = await _lookup(host, 0, socket.AF_UNSPEC)
    except OSError:
        return None
    return _checked(guard, host, found)


def _checked(guard: Guard, host: str, found: list[Any]) -> Address:
    guard.check_answer(host, [str(endpoint[0]) for *_, endpoint in found])
    return parse(str(found[0][4][0]))


def _results(host: str, port: int, found: list[Any]) -> list[ResolveResult]:
    return [
        ResolveResult(
            hostname=host,
            host=str(endpoint[0]),
            port=port,
            family=family,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for family, _, protocol, _, endpoint in found
    ]


async def _lookup(host: str, port: int, family: int) -> list[Any]:
    # A daemon thread each, and no pool: a name server that hangs must hold up neither other hosts' names, nor other
    # work on the loop's threads, nor the end of the process. The number of fetches bounds the number of threads.
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def deliver(result: list[Any] | Exception) -> None:
        if answer.done():
            return
        if isinstance(result, Exception):
            answer.set_exception(result)
        else:
            answer.set_result(result)

    def ask() -> None:
        result: list[Any] | Exception
        try:
            result = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            result = error if isinstance(error, OSError) else OSError(str(error))
        with suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits any more
            loop.call_soon_threadsafe(deliver, result)

    threading.Thread(target=ask, name=f"lookup {host}", daemon=True).start()
    return await answer
