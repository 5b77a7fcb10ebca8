"""Streams under way, and whether their callers may still have them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from imagebatch_server.batches.errors import InvalidRequest, PermissionDenied, RequestError, Unauthenticated
from imagebatch_server.rpc.call import Call
from imagebatch_server.rpc.endable import Endable
from imagebatch_server.rpc.gate import Gate

log = structlog.get_logger(__name__)

CHECK_EVERY_S = 5.0
"""What expires or is revoked ends its streams so much later at the most, and the access file's LOOK_EVERY_S."""
TOGETHER = 200
"""Streams that are looked at before others get their turn on the event loop."""


class OpenStreams:
    """End streams whose callers could not open them any more. A loop."""

    name = "open_streams"

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._open: dict[Endable, Call] = {}

    @contextmanager
    def following(self, stream: Endable, call: Call) -> Iterator[None]:
        """Look after a stream while the block runs."""
        self._open[stream] = call
        try:
            yield
        finally:
            del self._open[stream]

    async def step(self) -> None:
        """Look at all of them, a moment later."""
        await asyncio.sleep(CHECK_EVERY_S)
        for number, (stream, call) in enumerate(list(self._open.items())):
            if number % TOGETHER == 0:
                await asyncio.sleep(0)
            error = await self._objection(call)
            if error is not None:
                stream.end(error)

    async def _objection(self, call: Call) -> RequestError | None:
        try:
            await self._gate.readmit(call.rpc, call.incoming)
        except (Unauthenticated, PermissionDenied, InvalidRequest) as error:
            log.info("access.stream_ended", rpc=call.rpc, why=str(error))
            return error
        return None
