"""gRPC-Web: envelopes as in gRPC, with the trailers in a last one; as `-text` all of it in base64.

See https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import quote

from google.rpc import status_pb2

from imagebatch_server.batches.errors import InvalidRequest, Violation
from imagebatch_server.http.codecs import GZIP, IDENTITY, Codec, accepted
from imagebatch_server.http.envelopes import COMPRESSED, unwrap, wrap
from imagebatch_server.http.exchange import Exchange
from imagebatch_server.rpc.errors import DETAILS_KEY
from imagebatch_server.rpc.methods import Method

_TRAILERS = 0x80
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_UNESCAPED = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")


class GrpcWeb:
    """A request and any number of responses; errors come in the trailers of HTTP's 200."""

    has_body = True

    def __init__(self, exchange: Exchange, method: Method, codec: Codec, content_type: str) -> None:
        self._exchange = exchange
        self._method = method
        self._codec = codec
        self._content_type = content_type
        self._is_text = content_type.startswith("application/grpc-web-text")
        self._compression = accepted(exchange.headers.get("grpc-accept-encoding", ""))

    @property
    def timeout_s(self) -> float | None:
        """How long the caller is willing to wait. Raises InvalidRequest."""
        text = self._exchange.headers.get("grpc-timeout")
        if text is None:
            return None
        found = _TIMEOUT.fullmatch(text)
        if found is None:
            raise InvalidRequest([Violation("grpc-timeout", f"{text!r} is no time; write it as 500m or 30S")])
        return int(found[1]) * _UNITS_S[found[2]]

    async def read(self, body: bytes) -> bytes:
        """Read the request. Raises RequestError."""
        flags, data = unwrap(_from_base64(body) if self._is_text else body)
        compression = self._exchange.headers.get("grpc-encoding", IDENTITY)
        return await self._codec.request(self._method.request, data, compression if flags & COMPRESSED else IDENTITY)

    async def write(self, data: bytes) -> None:
        """Send one response."""
        await self._begin()
        message, is_compressed = await self._codec.response(self._method.response, data, self._compression)
        await self._send(*wrap(COMPRESSED if is_compressed else 0, message))

    async def end(self, status: status_pb2.Status | None) -> None:
        """Send the trailers."""
        await self._begin()
        trailers = {"grpc-status": "0"}
        if status is not None:
            trailers = {"grpc-status": str(status.code), "grpc-message": quote(status.message, safe=_UNESCAPED)}
            if status.details:
                trailers[DETAILS_KEY] = base64.b64encode(status.SerializeToString()).decode().rstrip("=")
        text = "".join(f"{name}: {value}\r\n" for name, value in trailers.items())
        await self._send(*wrap(_TRAILERS, text.encode("ascii")), is_last=True)

    async def _begin(self) -> None:
        if not self._exchange.has_begun:
            headers = {"content-type": self._content_type, "grpc-accept-encoding": GZIP}
            if self._compression == GZIP:
                headers["grpc-encoding"] = GZIP
            await self._exchange.begin(200, headers)

    async def _send(self, head: bytes, data: bytes, *, is_last: bool = False) -> None:
        parts = (base64.b64encode(head + data),) if self._is_text else (head, data)
        await self._exchange.write(*parts, is_last=is_last)


def _from_base64(body: bytes) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        text = f"is no base64 ({error}); encode it anew, or send application/grpc-web+proto"
        raise InvalidRequest([Violation("", text)]) from None
