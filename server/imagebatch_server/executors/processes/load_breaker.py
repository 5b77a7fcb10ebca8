"""Which operations kill the processes that load them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

_DEATHS = 3
_TRY_AGAIN_S = 60.0


@dataclass
class _Deaths:
    count: int
    last_at: float
    how: str


class LoadBreaker:
    """Shared by all workers, for each of them would lose as many children before it knew."""

    def __init__(self) -> None:
        self._deaths: dict[str, _Deaths] = {}

    def died(self, operation: str, how: str) -> None:
        """Note that a child died, or was killed for taking too long, while it loaded the operation."""
        known = self._deaths.get(operation)
        self._deaths[operation] = _Deaths(known.count + 1 if known else 1, time.monotonic(), how)

    def loaded(self, operation: str) -> None:
        """Note that it can be loaded after all."""
        self._deaths.pop(operation, None)

    def refusal(self, operation: str) -> str | None:
        """Why the operation is not to be tried now, if it isn't."""
        known = self._deaths.get(operation)
        if known is None or known.count < _DEATHS or time.monotonic() - known.last_at > _TRY_AGAIN_S:
            return None
        return f"operation {operation} can't be loaded: {known.count} times the worker {known.how} while loading it"

    def safe(self, operations: Iterable[str]) -> list[str]:
        """Those that never killed a child since they were last loaded: fit to be loaded before they are asked for."""
        return [operation for operation in operations if operation not in self._deaths]
