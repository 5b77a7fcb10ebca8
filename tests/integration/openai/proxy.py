"""A reverse proxy of the tests before a server that speaks OpenAI's API: hands requests on, or breaks as it is told."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientSession, web

_LARGEST_REQUEST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """What a request gets instead of the server's answer, or of its answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None
    content_type: str = "application/json"
    edit: Callable[[dict[str, Any]], None] | None = None
    """Changes the server's own answer."""
    hangs: bool = False
    is_cut: bool = False
    """The connection ends in the middle of the answer."""


def refusal(status: int, message: str = "on purpose", **headers: str) -> Fault:
    """Word an error as OpenAI's API does."""
    body = json.dumps({"error": {"message": message, "type": "test", "code": None}})
    return Fault(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, text=body)


@dataclass(frozen=True)
class Seen:
    """A request that came."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    at: float


@dataclass
class Proxy:
    """What the proxy was asked, and what it is to break."""

    upstream: str
    faults: deque[Fault] = field(default_factory=deque)
    picky: Callable[[dict[str, Any]], Fault | None] | None = None
    """What refuses requests by what they ask for, and lets others through."""
    answers_with: str | None = None
    """What the model is to say, instead of the server's own words."""
    seen: list[Seen] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0
    delay_s: float = 0.0
    url: str = ""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def breaks(self, *faults: Fault) -> None:
        """Let the next requests meet these, one each."""
        self.faults.extend(faults)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(json.loads(body), dict(request.headers), time.monotonic()))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self.delay_s)
            refused = self.picky(self.seen[-1].body) if self.picky else None
            fault = refused or (self.faults.popleft() if self.faults else Fault(edit=self._reword))
            return await self._answer(fault, request, body)
        finally:
            self.in_flight -= 1

    def _reword(self, answer: dict[str, Any]) -> None:
        if self.answers_with is not None:
            answer["choices"][0]["message"]["content"] = self.answers_with

    async def _answer(self, fault: Fault, request: web.Request, body: bytes) -> web.StreamResponse:
        if fault.hangs:
            await self.stopped.wait()
        if fault.text is not None:
            return web.Response(
                status=fault.status, headers=fault.headers, text=fault.text, content_type=fault.content_type
            )
        async with (
            ClientSession() as session,
            session.post(self.upstream + request.path, data=body, headers=_passed(request.headers)) as answer,
        ):
            status, data = answer.status, await answer.read()
            headers = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
        if fault.edit is not None:
            edited = json.loads(data)
            fault.edit(edited)
            data = json.dumps(edited).encode()
        if fault.is_cut:
            return await self._cut(request, data)
        return web.Response(status=status, headers=headers, body=data, content_type="application/json")

    async def _cut(self, request: web.Request, data: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("Authorization", "Content-Type") if name in headers}


@contextmanager
def proxying(upstream: str) -> Iterator[Proxy]:
    """Run a proxy on a thread of its own."""
    proxy = Proxy(upstream)
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def run() -> None:
        app = web.Application(client_max_size=_LARGEST_REQUEST_BYTES)
        app.router.add_post("/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await proxy.stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the proxy did not start")
        yield proxy
    finally:
        loop.call_soon_threadsafe(proxy.stopped.set)
        thread.join()
        loop.close()
