"""The contract over HTTP: one path a method as in gRPC, by Connect or gRPC-Web, to the very calls that gRPC makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Protocol

import structlog
from google.rpc import status_pb2
from grpc import StatusCode

from imagebatch_server.access.permissions import LEAST_ROLE
from imagebatch_server.access.principal import Role
from imagebatch_server.batches.errors import InvalidRequest, NotSupported, RequestError, Violation
from imagebatch_server.http import status as statuses
from imagebatch_server.http.codecs import Codec
from imagebatch_server.http.connect import ConnectStream, ConnectUnary
from imagebatch_server.http.exchange import BYTES_PER_S, BodyTooLarge, BodyTooSlow, Exchange
from imagebatch_server.http.grpc_web import GrpcWeb
from imagebatch_server.http.status import of_error, of_transport
from imagebatch_server.rpc import errors
from imagebatch_server.rpc.call import IncomingCall
from imagebatch_server.rpc.calls import Calls, too_large
from imagebatch_server.rpc.errors import GrpcError
from imagebatch_server.rpc.methods import Method

log = structlog.get_logger(__name__)

_CODEC_THREADS = 2
"""They share the processor with the loop, so more would only slow it."""


class Wire(Protocol):
    """How one call's messages travel."""

    has_body: bool

    @property
    def timeout_s(self) -> float | None:
        """How long the caller is willing to wait. Raises InvalidRequest."""

    async def read(self, body: bytes) -> bytes:
        """Read the request. Raises RequestError."""

    async def write(self, data: bytes) -> None:
        """Send a response."""

    async def end(self, status: status_pb2.Status | None) -> None:
        """End the call; None if all went well."""


class Gateway:
    """Answer the paths `/package.Service/Method`."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._threads = ThreadPoolExecutor(_CODEC_THREADS, "http-codecs")
        self._codecs = {name: Codec(name, self._threads, calls.max_request_bytes) for name in ("proto", "json")}

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one call. Raises Disconnected."""
        method = self._calls.find(exchange.path)
        if method is None:
            status = of_transport(StatusCode.UNIMPLEMENTED, f"{exchange.path}: there is no such rpc here")
            await exchange.respond(404, statuses.connect_body(status), {"content-type": "application/json"})
            return
        wires = self._wires(exchange, method)
        if exchange.method not in ("POST", "GET") or (exchange.method == "GET" and not wires):
            allowed = "GET, POST" if _is_safe(method) else "POST"
            sentence = f"{exchange.method} does not call {exchange.path}; use {allowed.replace(', ', ' or ')}"
            await exchange.say(405, sentence, {"allow": allowed})
            return
        asked = _content_type(exchange)
        if asked not in wires:
            known = ", ".join(wires)
            sentence = f"Content-Type: {asked or 'none'} is not taken by {exchange.path}; send one of {known}"
            await exchange.say(415, sentence, {"accept-post": known})
            return
        await self._answer(exchange, method, wires[asked]())

    def _wires(self, exchange: Exchange, method: Method) -> dict[str, Callable[[], Wire]]:
        """Tell how the method can be called, by content type; of GET by `encoding`, which stands for it."""
        by_codec = self._codecs.items()
        if exchange.method == "GET":
            return {
                f"application/{name}": partial(ConnectUnary, exchange, method, codec)
                for name, codec in by_codec
                if _is_safe(method)
            }
        wires: dict[str, Callable[[], Wire]] = {}
        for name, codec in by_codec:
            if method.takes_stream or method.answers_stream:
                wires[f"application/connect+{name}"] = partial(ConnectStream, exchange, method, codec)
            else:
                wires[f"application/{name}"] = partial(ConnectUnary, exchange, method, codec)
        for kind in _GRPC_WEB:
            wires[kind] = partial(GrpcWeb, exchange, method, self._codecs["proto"], kind)
        return wires

    async def _answer(self, exchange: Exchange, method: Method, wire: Wire) -> None:
        deadline = asyncio.timeout(None)
        status = None
        try:
            timeout_s = wire.timeout_s
            async with deadline:
                if timeout_s is not None:
                    deadline.reschedule(asyncio.get_running_loop().time() + timeout_s)
                ended = await self._call(exchange, method, wire)
                status = None if ended is None else of_error(ended)
        except RequestError as error:
            status = of_error(errors.translate(error))
        except TimeoutError:
            if not deadline.expired():
                raise
            status = of_transport(StatusCode.DEADLINE_EXCEEDED, "the call took longer than its caller allows")
        await wire.end(status)

    async def _call(self, exchange: Exchange, method: Method, wire: Wire) -> GrpcError | None:
        if method.takes_stream:
            raise NotSupported(
                f"{method.name} over HTTP", "it takes a stream: call it by gRPC, on the server's other port"
            )
        incoming = IncomingCall(exchange.peer, exchange.headers, exchange.certificate)

        async def receive() -> bytes:
            return await wire.read(await self._body(exchange, wire))

        if method.answers_stream:
            async with exchange.while_connected():
                return await self._calls.to_stream(method, receive, incoming, wire.write)
        async with exchange.while_connected():
            answer = await self._calls.unary(method, receive, incoming)
        if isinstance(answer, GrpcError):
            return answer
        await wire.write(answer)
        return None

    async def _body(self, exchange: Exchange, wire: Wire) -> bytes:
        try:
            return await exchange.body(self._calls.max_request_bytes if wire.has_body else 0)
        except BodyTooLarge as error:
            raise too_large(error.size_bytes, self._calls.max_request_bytes) from None
        except BodyTooSlow as error:
            text = f"came too slowly: {error}; send it again, at {BYTES_PER_S} bytes a second or more"
            raise InvalidRequest([Violation("", text)]) from None


_GRPC_WEB = tuple(f"application/grpc-web{kind}" for kind in ("+proto", "", "-text+proto", "-text"))


def _content_type(exchange: Exchange) -> str:
    if exchange.method == "GET":
        return f"application/{exchange.parameters.get('encoding', '')}"
    kind, _, parameters = exchange.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return kind.strip() if charset in ("", "utf-8") else f"{kind.strip()}; {parameters.strip()}"


def _is_safe(method: Method) -> bool:
    """Whether GET may call it: what readers may call changes nothing."""
    return LEAST_ROLE[method.name] is Role.READER and not (method.takes_stream or method.answers_stream)
