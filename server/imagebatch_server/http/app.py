"""The ASGI application of the HTTP port: finds who answers a path, and lets in only what may come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import TypeAlias

import structlog

from imagebatch_server.http.exchange import BodyTooLarge, BodyTooSlow, Disconnected, Exchange, Receive, Scope, Send
from imagebatch_server.http.guard import HostNames, Origins

log = structlog.get_logger(__name__)

Answer: TypeAlias = Callable[[Exchange], Awaitable[None]]


class HttpApp:
    """`answers` are by the path's first part; those of `under_any_name` have callers that know no name of the server.

    (Probes and scrapers ask by address. What they are told is worth nothing to a page, or needs a token.)
    """

    def __init__(
        self, answers: Mapping[str, Answer], hosts: HostNames, origins: Origins, *, under_any_name: Collection[str]
    ) -> None:
        self._answers = answers
        self._hosts = hosts
        self._origins = origins
        self._under_any_name = under_any_name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        exchange.response_headers["x-content-type-options"] = "nosniff"
        with suppress(Disconnected):
            try:
                await self._answer(exchange)
            except BodyTooLarge as error:
                await exchange.say(413, f"{error}, more than can be taken here")
            except BodyTooSlow as error:
                await exchange.say(408, str(error))
            except Exception:
                log.exception("http.failed", path=exchange.path)
                if not exchange.has_begun:  # else the connection ends before its body does
                    await exchange.say(500, "the server failed; its log has the cause under http.failed")

    async def _answer(self, exchange: Exchange) -> None:
        part = exchange.path.removeprefix("/").partition("/")[0]
        host = exchange.headers.get("host", "")
        if part not in self._under_any_name and not self._hosts.allow(host):
            await exchange.say(421, self._hosts.refusal(host))
        elif exchange.method == "CONNECT":
            await exchange.say(405, "CONNECT: this server is no proxy")
        elif self._origins.allow(exchange):
            await exchange.respond(204, b"", {})
        elif part in self._answers:
            await self._answers[part](exchange)
        else:
            await exchange.say(404, f"{exchange.path}: nothing is here; docs/http.md tells what this port answers")
