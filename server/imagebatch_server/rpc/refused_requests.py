"""A log line for requests that are refused: who asked for what, and why it was refused. Nothing of their content is."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from imagebatch_server.access.principal import Principal
from imagebatch_server.gathered_lines import GatheredLines
from imagebatch_server.rpc.errors import GrpcError, clip
from imagebatch_server.trace_context import log_fields

log = structlog.get_logger(__name__)

MOST_BYTES = 300
"""Of the reason in words, which callers may have chosen a part of."""


@dataclass(frozen=True, slots=True)
class _Refused:
    rpc: str
    peer: str
    principal: Principal | None
    error: GrpcError
    traceparent: str | None


class RefusedRequests:
    """Log refused requests: of each rpc and reason the first, and the last of those that follow in `every_s`."""

    def __init__(self, every_s: float) -> None:
        self._lines: GatheredLines[_Refused] = GatheredLines(_write, every_s)

    def note(self, rpc: str, peer: str, principal: Principal | None, error: GrpcError, traceparent: str | None) -> None:
        """Tell of a refused request; `principal` is None where nobody was let in."""
        kind = (rpc, error.reason, error.metadata.get("limit"))
        self._lines.add(kind, _Refused(rpc, peer, principal, error, traceparent))

    def close(self) -> None:
        """Write what waits."""
        self._lines.close()


def _write(refused: _Refused, left_out: int) -> None:
    error, who = refused.error, refused.principal
    log.info(
        "request.refused",
        rpc=refused.rpc,
        code=error.code.name,
        reason=error.reason.value,
        limit=error.metadata.get("limit"),
        why=clip(error.message, MOST_BYTES),
        tenant=None if who is None else who.tenant,
        principal=None if who is None else who.name,
        peer=refused.peer,
        left_out=left_out,
        **log_fields(refused.traceparent),
    )
