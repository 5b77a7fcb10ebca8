"""`GET` of stored images by signed URLs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from urllib.parse import quote

from imagebatch_server.batches.model import StoredObject
from imagebatch_server.batches.uploads import Uploads
from imagebatch_server.http import ranges
from imagebatch_server.http.exchange import Exchange
from imagebatch_server.http.signed import SignedUrls
from imagebatch_server.http.signing import IMAGES
from imagebatch_server.rpc.transfers import Transfer

UNKNOWN_TYPE = "application/octet-stream"


class StoredImages:
    """Send images to whoever has their URLs. `type_of` tells a raster image's media type by its first bytes."""

    def __init__(self, urls: SignedUrls, uploads: Uploads, type_of: Callable[[bytes], str | None]) -> None:
        self._urls = urls
        self._uploads = uploads
        self._type_of = type_of

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a GET or a HEAD. Raises Disconnected."""
        if exchange.method not in ("GET", "HEAD"):
            await exchange.say(405, f"{exchange.method} is nothing for an image; use GET", {"allow": "GET, HEAD"})
            return
        async with self._urls.transfer(exchange) as transfer:
            permit = self._urls.permit(IMAGES, exchange)
            stored = await self._uploads.find(permit.tenant, permit.object_key)
            headers = {
                "etag": f'"{stored.sha256}"',
                "cache-control": f"private, max-age={permit.left_s}",
                "accept-ranges": "bytes",
            }
            if _is_known(stored, exchange.headers.get("if-none-match", "")):
                await exchange.begin(304, headers)
                await exchange.write(b"", is_last=True)
                return
            await exchange.body(0)
            async with exchange.while_connected():
                await self._send(exchange, transfer, stored, headers)

    async def _send(
        self, exchange: Exchange, transfer: Transfer, stored: StoredObject, headers: dict[str, str]
    ) -> None:
        headers |= _shown_as(self._type_of(await self._uploads.head(stored)), stored.file_name)
        try:
            part = ranges.part(_asked(exchange, headers["etag"]), stored.size_bytes)
        except ranges.Unsatisfiable:
            where = {"content-range": f"bytes */{stored.size_bytes}"}
            await exchange.say(416, f"the image has only {stored.size_bytes} bytes", where)
            return
        if part is not None:
            headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{stored.size_bytes}"
        wanted = range(stored.size_bytes) if part is None else part
        headers["content-length"] = str(len(wanted))
        if exchange.method == "HEAD":
            await exchange.begin(200 if part is None else 206, headers)
        else:
            chunks = self._uploads.read(stored, wanted.start)
            async with aclosing(chunks):
                await self._send_body(exchange, transfer, chunks, 200 if part is None else 206, headers, len(wanted))
        await exchange.write(b"", is_last=True)

    @staticmethod
    async def _send_body(
        exchange: Exchange,
        transfer: Transfer,
        chunks: AsyncGenerator[bytes, None],
        status: int,
        headers: dict[str, str],
        left: int,
    ) -> None:
        """Send so many bytes; the head goes out once the first of them are here, so that a lost image is a 404."""
        first = await anext(chunks, b"")
        await exchange.begin(status, headers)
        await transfer.send(exchange.write(first[:left]))
        left -= len(first)
        while left > 0 and (chunk := await anext(chunks, b"")):
            await transfer.send(exchange.write(chunk[:left]))
            left -= len(chunk)


def _is_known(stored: StoredObject, if_none_match: str) -> bool:
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return bool(tags & {"*", f'"{stored.sha256}"'})


def _asked(exchange: Exchange, etag: str) -> str | None:
    """Answer the range, unless it is asked for of an image that this is not."""
    return exchange.headers.get("range") if exchange.headers.get("if-range", etag) == etag else None


def _shown_as(media_type: str | None, file_name: str) -> dict[str, str]:
    """Let browsers show raster images; whatever else somebody stored is for the disk, and may do nothing."""
    name = f"; filename*=UTF-8''{quote(file_name, safe='')}" if file_name else ""
    if media_type is not None:
        return {"content-type": media_type, "content-disposition": f"inline{name}"}
    return {
        "content-type": UNKNOWN_TYPE,
        "content-disposition": f"attachment{name}",
        "content-security-policy": "sandbox; default-src 'none'",
    }
