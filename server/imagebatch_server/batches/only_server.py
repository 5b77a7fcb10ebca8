"""The port `Servers` where one server alone works on its database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from imagebatch_server.batches.claim import Claim
from imagebatch_server.batches.model import LiveServer, Load


class OnlyServer:
    """No other can have taken over what this one owns: SQLite's file is locked."""

    def __init__(self, claim: Claim) -> None:
        self.own = LiveServer(claim.owner, claim.operations, workers=1, waiting_items=0)

    alone = True
    rank = 0
    count = 1
    term = 0
    may_take_over = True
    others: Sequence[LiveServer] = ()

    def time_s(self) -> float:
        return time.time()

    async def held(self) -> None:
        return

    def report(self, _load: Callable[[], Load]) -> None:
        return

    async def drain(self) -> None:
        return
