"""How many calls of a kind may be under way at one time."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from imagebatch_server.batches.errors import Limit, LimitExceeded


class Slots:
    """Places for calls of one kind; a call that finds none is refused at once and told when to come back.

    `limit` is the field's name in ServerLimits, `what` names the calls. `on_refused` is called with `limit`.
    """

    def __init__(self, limit: str, what: str, most: int, on_refused: Callable[[str], None]) -> None:
        self._limit = limit
        self._what = what
        self._on_refused = on_refused
        self.most = most
        self.taken = 0
        """Calls under way."""

    def ensure_room(self) -> None:
        """Make sure that there is a place. Raises LimitExceeded."""
        if self.taken >= self.most:
            raise self.refusal()

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place while the block runs. Raises LimitExceeded if there is none."""
        self.ensure_room()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def refusal(self) -> LimitExceeded:
        """Count a call that is refused, and make its error."""
        self._on_refused(self._limit)
        setting = f"IMAGEBATCH_{self._limit.upper()}"
        return LimitExceeded(
            Limit(self._limit, value=self.most, observed=self.most + 1, setting=setting),
            f"{self.most} {self._what} are under way, the most that this server takes at one time; try again, or raise "
            f"{setting}",
            retry_after_s=random.uniform(0.5, 1.5),  # apart, so that those who were refused together don't return so
        )
