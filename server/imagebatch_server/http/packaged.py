"""Files that ship with the server, sent as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from imagebatch_server.http.codecs import GZIP, accepted, gzip
from imagebatch_server.http.exchange import Exchange


class PackagedFile:
    """One file under one path, kept in memory, plain and compressed; `headers` go with it."""

    def __init__(self, content: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> None:
        self._content = content
        self._compressed = gzip(content)
        self._etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._content_type = content_type
        self._headers = headers or {}

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a GET or a HEAD. Raises Disconnected."""
        if exchange.method not in ("GET", "HEAD"):
            await exchange.say(405, f"{exchange.method} is nothing for a file; use GET", {"allow": "GET, HEAD"})
            return
        headers = {**self._headers, "etag": self._etag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if exchange.headers.get("if-none-match") == self._etag:
            await exchange.begin(304, headers)
            await exchange.write(b"", is_last=True)
            return
        headers["content-type"] = self._content_type
        if accepted(exchange.headers.get("accept-encoding", "")) == GZIP:
            await exchange.respond(200, self._compressed, {**headers, "content-encoding": GZIP})
        else:
            await exchange.respond(200, self._content, headers)
