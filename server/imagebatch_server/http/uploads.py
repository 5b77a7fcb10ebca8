"""`PUT` of images to signed URLs, as CreateUploadUrl promises them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from imagebatch_server.access.audit_log import AuditLog
from imagebatch_server.access.principal import Principal
from imagebatch_server.batches.awaited_uploads import AwaitedUploads, UploadedAlready
from imagebatch_server.http import status as statuses
from imagebatch_server.http.exchange import Exchange
from imagebatch_server.http.signed import UNKEPT, SignedUrls
from imagebatch_server.http.signing import UPLOADS
from imagebatch_server.rpc.audit import AuditedCall

_AUDITED_AS = "PUT /uploads"
_PRINCIPAL = "signed-url"
"""Who asked for the URL stands in the line of CreateUploadUrl with the same object key."""


class UploadedImages:
    """Take images from whoever has the URLs for them: once each, of the size and type that the URL is bound to."""

    def __init__(self, urls: SignedUrls, uploads: AwaitedUploads, audit: AuditLog | None) -> None:
        self._urls = urls
        self._uploads = uploads
        self._audit = audit

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a PUT. Raises Disconnected."""
        if exchange.method != "PUT":
            await exchange.say(405, f"{exchange.method} is nothing for an upload; use PUT", {"allow": "PUT"})
            return
        audited = AuditedCall(self._audit, _AUDITED_AS, exchange.peer)
        with audited.telling():
            await self._take(exchange, audited)
            if exchange.status is not None:
                audited.ended(statuses.code_of(exchange.status))

    async def _take(self, exchange: Exchange, audited: AuditedCall) -> None:
        async with self._urls.transfer(exchange) as transfer:
            permit = self._urls.permit(UPLOADS, exchange)
            audited.principal = Principal(permit.tenant, _PRINCIPAL, frozenset())
            audited.note("object_key", permit.object_key)
            audited.begin()
            if (refusal := _unlike_promised(exchange)) is not None:
                await exchange.say(*refusal, UNKEPT)
                return
            chunks: AsyncGenerator[bytes, None] = transfer.receive(exchange.chunks())
            try:
                async with aclosing(chunks):
                    filled = await self._uploads.fill(permit.tenant, permit.object_key, chunks)
            except UploadedAlready as error:
                await exchange.say(409, str(error), UNKEPT)
                return
            await exchange.respond(201, b"", {"etag": f'"{filled.sha256}"', **UNKEPT})


def _unlike_promised(exchange: Exchange) -> tuple[int, str] | None:
    """Hold the request's head to what the URL, whose signature is right, is bound to."""
    size, kind = exchange.parameters["size"], exchange.parameters["type"]
    given_size, given_kind = exchange.headers.get("content-length"), exchange.headers.get("content-type", "")
    if given_size is None:
        return 411, f"Content-Length is missing; send {size}"
    if given_size != size:
        return 400, f"Content-Length: {given_size} is not {size}, which the URL was made for; ask for another URL"
    if given_kind != kind:
        return 415, f"Content-Type: {given_kind or 'none'} is not {kind}, which the URL was made for; send that"
    return None
