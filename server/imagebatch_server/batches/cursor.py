"""One watcher of a batch."""

from __future__ import annotations

import asyncio

from imagebatch_server.batches.ring import Ring

QUIET_S = 5.0
"""With nothing new, a watcher is sent the status after this time: proxies cut silent streams."""


class Cursor:
    """Where one watcher is, and what wakes it: its bell, and the time at which it has been quiet for too long."""

    def __init__(self, ring: Ring, sequence: int) -> None:
        self.ring = ring
        self.sequence = sequence
        self.bell = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._quiet_at = self._loop.time()  # the first message comes at once: it tells where the batch is
        self._timer: asyncio.TimerHandle | None = None
        ring.bells.add(self.bell)

    @property
    def is_due(self) -> bool:
        """Whether a message must be sent even if it says nothing new."""
        return self._loop.time() >= self._quiet_at

    def was_sent(self) -> None:
        """Be quiet for a while: a message was sent."""
        self._quiet_at = self._loop.time() + QUIET_S

    async def wait(self) -> None:
        """Until the bell rings or a message is due."""
        if self._timer is None:
            self._timer = self._loop.call_at(self._quiet_at, self._on_time)
        await self.bell.wait()

    def close(self) -> None:
        """Wake it no more."""
        self.ring.bells.discard(self.bell)
        if self._timer is not None:
            self._timer.cancel()

    def _on_time(self) -> None:
        # Set once for many messages, and put off only now: making a timer for each costs more than the message.
        self._timer = None
        if self.is_due:
            self.bell.set()
        else:
            self._timer = self._loop.call_at(self._quiet_at, self._on_time)
