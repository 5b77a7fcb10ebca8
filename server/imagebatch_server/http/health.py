"""What probes and scrapers ask: whether the process lives, whether it takes work, and its figures."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST

from imagebatch_server.access.permissions import METRICS
from imagebatch_server.http import status as statuses
from imagebatch_server.http.exchange import Exchange
from imagebatch_server.rpc.call import IncomingCall
from imagebatch_server.rpc.calls import Calls

_UNKEPT = {"cache-control": "no-store"}


class Health:
    """`/healthz`: the process answers. `/readyz`: it takes work, as gRPC's health service tells too. `/metrics`."""

    def __init__(
        self,
        calls: Calls,
        draining: Callable[[], bool],
        trouble: Callable[[], str | None],
        exposition: Callable[[], bytes],
    ) -> None:
        """`trouble` says why no item runs now; such a server takes batches all the same, and is ready."""
        self._calls = calls
        self._trouble = trouble
        self._draining = draining
        self._exposition = exposition

    async def alive(self, exchange: Exchange) -> None:
        """Answer 200."""
        await exchange.say(200, "ok", _UNKEPT)

    async def ready(self, exchange: Exchange) -> None:
        """Answer 200, or 503 while the server stops."""
        if self._draining():
            await exchange.say(503, "the server is stopping", _UNKEPT)
        else:
            trouble = self._trouble()
            await exchange.say(200, "ok" if trouble is None else f"ok, but {trouble}", _UNKEPT)

    async def metrics(self, exchange: Exchange) -> None:
        """Answer the figures to operators, in Prometheus' text format."""

        async def work() -> None:
            await exchange.respond(200, self._exposition(), {"content-type": CONTENT_TYPE_LATEST, **_UNKEPT})

        incoming = IncomingCall(exchange.peer, exchange.headers, exchange.certificate)
        refused = await self._calls.beside(METRICS, incoming, work)
        if refused is not None:
            status = statuses.of_error(refused)
            await exchange.say(statuses.http_status(status), status.message, {**_UNKEPT, **statuses.headers(status)})
