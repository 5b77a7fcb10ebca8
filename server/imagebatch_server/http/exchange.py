"""One HTTP request and its response, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from imagebatch_server.access.certificate import Certificate, from_pem
from imagebatch_server.rpc.call import joined

Scope: TypeAlias = MutableMapping[str, Any]
Event: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]

_MAX_PARAMETERS = 32

BEGUN_WITHIN_S = 20.0
BYTES_PER_S = 16 * 1024
"""A body must begin to come so soon, and go on so fast: what trickles in would hold its call for ever."""

PIECE_BYTES = 64 * 1024


class Disconnected(asyncio.CancelledError):
    """Whoever asked has gone, and with them the reason for what is done."""


class BodyTooSlow(Exception):
    """The request's body does not come."""


class BodyTooLarge(Exception):
    """The request's body has more bytes than may be read of it."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the body has {size_bytes} bytes, or more")
        self.size_bytes = size_bytes


class Exchange:
    """A request, and the one response to it. `headers` have names in lower case; repeated ones are joined by commas."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers = joined(_decoded(scope["headers"]))
        self.response_headers: dict[str, str] = {}
        """Sent with whatever is answered."""
        self.status: int | None = None
        """Of the response, once its head was sent."""
        self._is_read = asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether the response's head was sent."""
        return self.status is not None

    @property
    def certificate(self) -> Certificate | None:
        """What the peer showed, if the server's client authority has signed it."""
        shown = self._scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", ())
        return from_pem(shown[0].encode()) if shown else None

    @property
    def parameters(self) -> Mapping[str, str]:
        """Of the query, decoded; of a repeated one the last. Of more than anything here takes there are none."""
        query: bytes = self._scope["query_string"]
        try:
            return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_PARAMETERS))
        except ValueError:
            return {}

    @property
    def peer(self) -> str:
        """The other end of the connection, as gRPC names it."""
        host, port = self._scope["client"] or ("", 0)
        return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Read the body as it comes. Raises Disconnected."""
        more = True
        while more:
            event = await self._receive()
            if event["type"] == "http.disconnect":
                raise Disconnected
            more = event.get("more_body", False)
            if chunk := event.get("body", b""):
                yield chunk
        self._is_read.set()

    async def body(self, max_bytes: int) -> bytes:
        """Read the body whole. Raises BodyTooLarge, BodyTooSlow, Disconnected."""
        declared = self.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > max_bytes:
            raise BodyTooLarge(int(declared))
        data = bytearray()
        began_at = asyncio.get_running_loop().time()
        clock = asyncio.timeout_at(began_at + BEGUN_WITHIN_S)
        try:
            async with clock:
                async for chunk in self.chunks():
                    data += chunk
                    if len(data) > max_bytes:
                        raise BodyTooLarge(len(data))
                    clock.reschedule(began_at + BEGUN_WITHIN_S + len(data) / BYTES_PER_S)
        except TimeoutError:
            raise BodyTooSlow(f"{len(data)} bytes of the body are here, and no more come") from None
        return bytes(data)

    @asynccontextmanager
    async def while_connected(self) -> AsyncGenerator[None, None]:
        """Cancel the block when the peer goes, once the body has been read. Raises Disconnected."""
        working = asyncio.current_task()
        assert working is not None  # noqa: S101  # a coroutine runs in one
        has_gone = False

        async def watch() -> None:
            nonlocal has_gone
            await self._is_read.wait()  # until then `chunks` takes what comes
            while (await self._receive())["type"] != "http.disconnect":
                pass
            has_gone = True
            working.cancel()

        watching = asyncio.create_task(watch())
        try:
            yield
        except asyncio.CancelledError:
            if has_gone and not working.uncancel():
                raise Disconnected from None
            raise
        finally:
            watching.cancel()

    async def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the response's head."""
        self.status = status
        fields = {**self.response_headers, **headers}
        if "vary" in self.response_headers and "vary" in headers:
            fields["vary"] = f"{self.response_headers['vary']}, {headers['vary']}"
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in fields.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, *parts: bytes, is_last: bool = False) -> None:
        """Send parts of the response's body, each piece when what was sent before it has been taken.

        In pieces, because the connection holds a copy of what its peer does not take.
        """
        if sum(map(len, parts)) <= PIECE_BYTES:
            await self._send_piece(b"".join(parts), is_last=is_last)
            return
        for part in parts:
            for at in range(0, len(part), PIECE_BYTES):
                await self._send_piece(part[at : at + PIECE_BYTES], is_last=False)
        if is_last:
            await self._send_piece(b"", is_last=True)

    async def _send_piece(self, piece: bytes, *, is_last: bool) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": not is_last})

    async def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Answer at once."""
        await self.begin(status, {**headers, "content-length": str(len(body))})
        await self.write(b"" if self.method == "HEAD" else body, is_last=True)

    async def say(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        """Answer with a sentence in plain text."""
        plain = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
        await self.respond(status, f"{sentence}\n".encode(), plain)


def _decoded(raw: list[tuple[bytes, bytes]]) -> Iterator[tuple[str, str]]:
    for name, value in raw:
        yield name.decode("latin-1").lower(), value.decode("latin-1")
