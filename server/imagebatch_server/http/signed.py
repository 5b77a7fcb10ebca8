"""What stands before an image that is read or written by a signed URL."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from imagebatch_server.batches.errors import RequestError
from imagebatch_server.http import status as statuses
from imagebatch_server.http.exchange import Exchange
from imagebatch_server.http.signing import BadSignature, UrlSigner
from imagebatch_server.rpc import errors
from imagebatch_server.rpc.call_limits import CallLimits
from imagebatch_server.rpc.transfers import Transfer

UNKEPT = {"cache-control": "no-store"}
"""Of answers that are no image."""


@dataclass(frozen=True, slots=True)
class Permit:
    """What a URL permits, which is of one tenant and one object, and for how much longer (seconds)."""

    tenant: str
    object_key: str
    left_s: int


class SignedUrls:
    """Hold requests to the signatures of their URLs, and to the bounds on transfers."""

    def __init__(self, signer: UrlSigner, limits: CallLimits) -> None:
        self._signer = signer
        self._limits = limits

    def permit(self, kind: str, exchange: Exchange) -> Permit:
        """Read what the URL permits. Raises BadSignature."""
        parts = exchange.path.split("/")[2:]
        if len(parts) != 2:
            raise BadSignature(f"the path must be /{kind}/, the tenant and the object key; ask for a URL")
        tenant, object_key = parts
        left_s = self._signer.check(kind, tenant, object_key, exchange.parameters)
        return Permit(tenant, object_key, int(left_s))

    @asynccontextmanager
    async def transfer(self, exchange: Exchange) -> AsyncGenerator[Transfer, None]:
        """Count a transfer while the block runs, and answer errors of it, unless an answer has begun."""
        with self._limits.connections.call(exchange.peer):
            try:
                with self._limits.transfers.begin() as transfer:
                    yield transfer
            except BadSignature as error:
                await exchange.say(403, str(error), UNKEPT)
            except RequestError as error:
                if not exchange.has_begun:  # else the connection ends before its body does, which tells enough
                    status = statuses.of_error(errors.translate(error))
                    headers = {**UNKEPT, **statuses.headers(status)}
                    await exchange.say(statuses.http_status(status), status.message, headers)
