"""What is told of each request, however it came and ended: to the metrics, and to the log if it was refused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from grpc import StatusCode

from imagebatch.v1.enums import ErrorReason
from imagebatch_server.access.principal import Principal
from imagebatch_server.rpc.errors import GrpcError
from imagebatch_server.rpc.refused_requests import RefusedRequests


class RequestFigures(Protocol):
    """Count requests."""

    def ended(self, rpc: str, code: StatusCode, took_s: float | None) -> None:
        """Count a request; `took_s` is None for a stream."""

    def refused(self, error: GrpcError) -> None:
        """Count why a request was refused."""


class Observed:
    """One request while it is answered."""

    def __init__(self) -> None:
        self.error: GrpcError | None = None
        """What it is ended with, if it is refused."""
        self.principal: Principal | None = None
        """Who makes it, once that is known."""


class Observer:
    """Tell of requests."""

    def __init__(self, figures: RequestFigures, refusals: RefusedRequests) -> None:
        self._figures = figures
        self._refusals = refusals

    @contextmanager
    def observing(self, rpc: str, peer: str, *, is_stream: bool) -> Iterator[Observed]:
        """Tell of a request, which the block answers."""
        observed = Observed()
        began_at = time.perf_counter()
        code = StatusCode.UNKNOWN
        try:
            yield observed
            code = StatusCode.OK if observed.error is None else observed.error.code
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        finally:
            self._figures.ended(rpc, code, None if is_stream else time.perf_counter() - began_at)
            if observed.error is not None:
                self._refused(rpc, peer, observed, observed.error)

    def _refused(self, rpc: str, peer: str, observed: Observed, error: GrpcError) -> None:
        self._figures.refused(error)
        if error.reason is not ErrorReason.INTERNAL:  # which has a line of its own, with the cause
            self._refusals.note(rpc, peer, observed.principal, error)
