"""How often somebody may show what does not count."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from imagebatch_server.batches.errors import Limit, LimitExceeded

MAX_PEERS = 10_000
"""Peers that are remembered: those whose attempts failed last."""

_LIMIT, _SETTING = "max_failed_attempts_per_minute", "IMAGEBATCH_MAX_FAILED_ATTEMPTS_PER_MINUTE"


class FailedAttempts:
    """Bound for each peer the attempts that fail, and so the work of judging them.

    A peer may be a proxy before many callers: what is known already to be good is never held up.
    """

    def __init__(self, most_per_minute: int, on_refused: Callable[[str], None]) -> None:
        self._most = most_per_minute
        self._on_refused = on_refused
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Of each peer, how many count against it, and since when that is so: they wear off evenly."""

    def check(self, peer: str) -> None:
        """Let another attempt be judged. Raises LimitExceeded."""
        counted = self._counted(peer)
        if counted + 1 > self._most:
            self._on_refused(_LIMIT)
            raise LimitExceeded(
                Limit(_LIMIT, self._most, self._most + 1, _SETTING),
                f"more than {self._most} calls a minute of this address have shown what does not count here; mend the "
                "token, then try again",
                retry_after_s=(counted + 1 - self._most) * 60 / self._most,
            )

    def failed(self, peer: str) -> None:
        """Count an attempt that failed."""
        self._failed[peer] = self._counted(peer) + 1, monotonic()
        self._failed.move_to_end(peer)
        if len(self._failed) > MAX_PEERS:
            self._failed.popitem(last=False)

    def _counted(self, peer: str) -> float:
        count, since = self._failed.get(peer, (0.0, 0.0))
        return max(0.0, count - (monotonic() - since) * self._most / 60)
