"""The memory that requests take while they come in and are worked on, bounded for all callers together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagebatch_server.batches.errors import Limit, LimitExceeded

COST = 7
"""A request takes so many times its size: gRPC's buffers and its bytes, the message as the stub and the rules parse it,
what is hashed of it, and what base64 in it becomes."""

A_STREAM_BYTES = 16 * 1024 * 1024
"""What a message of a stream is reckoned to take while it comes in."""

_SETTING = "IMAGEBATCH_REQUEST_MEMORY_BYTES"


class RequestMemory:
    """A budget of bytes for requests. Those that find none left are refused, and told to come back."""

    def __init__(
        self, most_bytes: int, reserve_bytes: int, free_bytes: Callable[[], int], on_refused: Callable[[str], None]
    ) -> None:
        """`free_bytes` tells what the system would still give; `reserve_bytes` of it are never given to a request."""
        self._most_bytes = most_bytes
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes
        self._on_refused = on_refused
        self._held_bytes = 0

    def ensure_room(self, streams: int = 0) -> None:
        """Make sure that the system has memory for a request to come in by, beside so many that stream.

        Raises LimitExceeded.
        """
        if self._free_bytes() < self._reserve_bytes + A_STREAM_BYTES * streams:
            raise self.refusal()

    @contextmanager
    def hold(self, size_bytes: int) -> Iterator[None]:
        """Count a request that has come in while the block runs. Raises LimitExceeded if there is no memory for it."""
        self.ensure_room()
        cost = COST * size_bytes
        if self._held_bytes + cost > self._most_bytes:
            raise self.refusal(cost)
        self._held_bytes += cost
        try:
            yield
        finally:
            self._held_bytes -= cost

    def refusal(self, cost: int = 0) -> LimitExceeded:
        """Count a request for which there is no memory, and make its error."""
        self._on_refused("request_memory_bytes")
        limit = Limit(
            "request_memory_bytes", value=self._most_bytes, observed=self._held_bytes + cost, setting=_SETTING
        )
        text = (
            "the server has no memory left for this request beside those under way; try again, send smaller requests "
            f"(SubmitBatchStream, UploadImage), or raise {_SETTING} or the memory that the server may use"
        )
        return LimitExceeded(limit, text, retry_after_s=1.0)
