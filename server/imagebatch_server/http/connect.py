"""The Connect protocol, version 1: unary calls as plain HTTP, streams in envelopes.

See https://connectrpc.com/docs/protocol.
"""

from __future__ import annotations

import base64
import binascii
import json

from google.rpc import status_pb2

from imagebatch_server.batches.errors import InvalidRequest, Violation
from imagebatch_server.http import status as statuses
from imagebatch_server.http.codecs import GZIP, IDENTITY, Codec, accepted
from imagebatch_server.http.envelopes import COMPRESSED, unwrap, wrap
from imagebatch_server.http.exchange import Exchange
from imagebatch_server.rpc.methods import Method

VERSION = "1"

_END_OF_STREAM = 0x02


class ConnectUnary:
    """A request and a response as bodies of their own."""

    def __init__(self, exchange: Exchange, method: Method, codec: Codec) -> None:
        self._exchange = exchange
        self._method = method
        self._codec = codec
        self._compression = accepted(exchange.headers.get("accept-encoding", ""))
        if exchange.method == "GET":
            self.has_body = False
            self._version = _prefixed(exchange.parameters.get("connect", ""))
        else:
            self.has_body = True
            self._version = exchange.headers.get("connect-protocol-version", VERSION)

    @property
    def timeout_s(self) -> float | None:
        """How long the caller is willing to wait. Raises InvalidRequest."""
        return timeout_s(self._exchange)

    async def read(self, body: bytes) -> bytes:
        """Read the request. Raises RequestError."""
        _check_version(self._version)
        if self.has_body:
            return await self._codec.request(self._method.request, body, self._encoding())
        given = self._exchange.parameters
        data = given.get("message", "").encode()
        if given.get("base64") == "1":
            data = _from_base64(data)
        return await self._codec.request(self._method.request, data, given.get("compression", IDENTITY))

    async def write(self, data: bytes) -> None:
        """Answer."""
        body, is_compressed = await self._codec.response(self._method.response, data, self._compression)
        headers = {"content-type": f"application/{self._codec.name}", "vary": "accept-encoding"}
        await self._exchange.respond(200, body, {**headers, "content-encoding": GZIP} if is_compressed else headers)

    async def end(self, status: status_pb2.Status | None) -> None:
        """Answer the error, if there is one."""
        if status is not None:
            headers = {"content-type": "application/json", "accept-encoding": GZIP, **statuses.headers(status)}
            await self._exchange.respond(statuses.http_status(status), statuses.connect_body(status), headers)

    def _encoding(self) -> str:
        return self._exchange.headers.get("content-encoding", IDENTITY)


class ConnectStream:
    """A request and any number of responses in envelopes; the last one tells how it ended."""

    has_body = True

    def __init__(self, exchange: Exchange, method: Method, codec: Codec) -> None:
        self._exchange = exchange
        self._method = method
        self._codec = codec
        self._compression = accepted(exchange.headers.get("connect-accept-encoding", ""))

    @property
    def timeout_s(self) -> float | None:
        """How long the caller is willing to wait. Raises InvalidRequest."""
        return timeout_s(self._exchange)

    async def read(self, body: bytes) -> bytes:
        """Read the request. Raises RequestError."""
        _check_version(self._exchange.headers.get("connect-protocol-version", VERSION))
        flags, data = unwrap(body)
        compression = self._exchange.headers.get("connect-content-encoding", IDENTITY)
        return await self._codec.request(self._method.request, data, compression if flags & COMPRESSED else IDENTITY)

    async def write(self, data: bytes) -> None:
        """Send one response."""
        await self._begin()
        message, is_compressed = await self._codec.response(self._method.response, data, self._compression)
        await self._exchange.write(*wrap(COMPRESSED if is_compressed else 0, message))

    async def end(self, status: status_pb2.Status | None) -> None:
        """Send the end, and the error, if there is one."""
        await self._begin()
        end = {} if status is None else {"error": statuses.connect_error(status)}
        await self._exchange.write(*wrap(_END_OF_STREAM, json.dumps(end).encode()), is_last=True)

    async def _begin(self) -> None:
        if not self._exchange.has_begun:
            headers = {"content-type": f"application/connect+{self._codec.name}", "connect-accept-encoding": GZIP}
            if self._compression == GZIP:
                headers["connect-content-encoding"] = GZIP
            await self._exchange.begin(200, headers)


def timeout_s(exchange: Exchange) -> float | None:
    """Read `Connect-Timeout-Ms`. Raises InvalidRequest."""
    text = exchange.headers.get("connect-timeout-ms")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 10:
        raise InvalidRequest([Violation("Connect-Timeout-Ms", f"{text!r} is no number of at most 10 digits")])
    return int(text) / 1000


def _check_version(version: str) -> None:
    if version != VERSION:
        raise InvalidRequest([Violation("Connect-Protocol-Version", f"{version!r} is not known here; send {VERSION}")])


def _prefixed(parameter: str) -> str:
    """Read the version in a query: `v1`."""
    return parameter.removeprefix("v") if parameter.startswith("v") else parameter or "none"


def _from_base64(data: bytes) -> bytes:
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise InvalidRequest([Violation("message", f"is no URL-safe base64 ({error}); encode it anew")]) from None
