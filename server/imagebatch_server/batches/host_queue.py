"""Items that wait for one host, in the order in which it is asked for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from imagebatch_server.batches.running import RunningBatch


class HostQueue:
    """Call first for the tenant that has least of the host; equal ones in turn, and so the batches of each."""

    def __init__(self) -> None:
        self._tenants: dict[str, dict[RunningBatch, deque[int]]] = {}

    def __bool__(self) -> bool:
        """Whether any item waits."""
        return bool(self._tenants)

    def add(self, running: RunningBatch, item_index: int, *, first: bool) -> None:
        """Let an item wait, behind its batch's others or before them."""
        indexes = self._tenants.setdefault(running.batch.tenant, {}).setdefault(running, deque())
        if first:
            indexes.appendleft(item_index)
        else:
            indexes.append(item_index)

    def count(self, running: RunningBatch) -> int:
        """Count the items of a batch that wait."""
        return len(self._tenants.get(running.batch.tenant, {}).get(running, ()))

    def heads(self) -> list[tuple[RunningBatch, int]]:
        """List the first item of each batch."""
        return [(running, indexes[0]) for batches in self._tenants.values() for running, indexes in batches.items()]

    def next(self, places: Mapping[str, int], may: Callable[[RunningBatch], bool]) -> RunningBatch | None:
        """Find the batch whose turn it is among those that `may`; `places` is what each tenant has of the host."""
        for tenant in sorted(self._tenants, key=lambda tenant: places.get(tenant, 0)):
            if (found := next(filter(may, self._tenants[tenant]), None)) is not None:
                return found
        return None

    def pop(self, running: RunningBatch) -> int:
        """Take out a batch's first item; the batch and its tenant go behind the others."""
        batches = self._tenants.pop(running.batch.tenant)
        indexes = batches.pop(running)
        item_index = indexes.popleft()
        if indexes:
            batches[running] = indexes
        if batches:
            self._tenants[running.batch.tenant] = batches
        return item_index

    def remove(self, running: RunningBatch) -> None:
        """Let no item of a batch wait any more."""
        batches = self._tenants.get(running.batch.tenant, {})
        batches.pop(running, None)
        if not batches:
            self._tenants.pop(running.batch.tenant, None)
