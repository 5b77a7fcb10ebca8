"""How many of the fetches one batch and one tenant may have, so that a newcomer always finds room."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from imagebatch_server.batches.running import RunningBatch

SLOW_A_PLACE = 4
"""Fetches under way for each place: one that is slow lends its place to another, but not without end."""

_RELIEVED_AT_ONCE = 8
"""Batches of one tenant that are looked at again when it has room: most of its others would find it taken."""


@dataclass(slots=True)
class _Use:
    """What a batch, a tenant or all of them have."""

    places: int = 0
    under_way: int = 0
    """Slow ones, which lent their place, included."""


_NOTHING = _Use()


def _admits(use: _Use, most: int, whole: _Use, most_of_whole: int) -> bool:
    """Tell whether one part of a whole may have more. The last eighth is for those that have nothing yet."""
    return _is_within(use.places, most, whole.places, most_of_whole) and _is_within(
        use.under_way, SLOW_A_PLACE * most, whole.under_way, SLOW_A_PLACE * most_of_whole
    )


def _is_within(used: int, most: int, used_of_whole: int, most_of_whole: int) -> bool:
    kept = min(most_of_whole - most, most_of_whole // 8) if used else 0
    return used < most and used_of_whole < most_of_whole - kept


class FetchShares:
    """Count fetches by batch and by tenant. A batch that has its share is held back, and relieved when it has not.

    Places that become free go to those held back that have fewest: whoever asks first has most in hand to ask for.
    """

    def __init__(self, *, overall: int, per_tenant: int, per_batch: int) -> None:
        self._overall = overall
        self._per_tenant = min(per_tenant, overall)
        self._per_batch = min(per_batch, self._per_tenant)
        self._all = _Use()
        self._tenants: dict[str, _Use] = {}
        self._batches: dict[str, _Use] = {}
        self._held_back: dict[str, dict[RunningBatch, set[str]]] = {}
        """By tenant, in order; with the hosts whose items of the batch were passed over."""

    def has_room(self, running: RunningBatch) -> bool:
        """Tell whether the batch may have another fetch, before all who are held back and have more."""
        return self._is_admitted(running) and not self._gives_way(running)

    def _is_admitted(self, running: RunningBatch) -> bool:
        tenant = self._of_tenant(running.batch.tenant)
        return _admits(tenant, self._per_tenant, self._all, self._overall) and _admits(
            self._of_batch(running), self._per_batch, tenant, self._per_tenant
        )

    def is_short(self, running: RunningBatch) -> bool:
        """Tell whether nothing but what other tenants have keeps a batch from another fetch."""
        tenant = self._of_tenant(running.batch.tenant)
        return (
            not _admits(tenant, self._per_tenant, self._all, self._overall)
            and tenant.places < self._per_tenant
            and tenant.under_way < SLOW_A_PLACE * self._per_tenant
            and _admits(self._of_batch(running), self._per_batch, tenant, self._per_tenant)
        )

    def places(self, tenant: str) -> int:
        """Tell how many places a tenant has."""
        return self._of_tenant(tenant).places

    def _gives_way(self, running: RunningBatch) -> bool:
        """Tell whether a tenant, or a batch of its own tenant, has fewer places and is held back without need."""
        tenant = running.batch.tenant
        tenant_places, batch_places = self._of_tenant(tenant).places, self._of_batch(running).places
        if batch_places:  # else none has fewer, of however many
            siblings = self._held_back.get(tenant, ())
            if any(self._of_batch(one).places < batch_places and self._is_admitted(one) for one in siblings):
                return True
        return tenant_places > 0 and any(
            self._of_tenant(other).places < tenant_places and any(map(self._is_admitted, waiting))
            for other, waiting in self._held_back.items()
        )

    def _of_tenant(self, tenant: str) -> _Use:
        return self._tenants.get(tenant, _NOTHING)

    def _of_batch(self, running: RunningBatch) -> _Use:
        return self._batches.get(running.batch.batch_id, _NOTHING)

    def take(self, tenant: str, batch_id: str) -> None:
        """Count a fetch."""
        uses = (self._all, self._tenants.setdefault(tenant, _Use()), self._batches.setdefault(batch_id, _Use()))
        for use in uses:
            use.places += 1
            use.under_way += 1

    def lend(self, tenant: str, batch_id: str) -> None:
        """Let others have the place of a fetch that is slow."""
        for use in (self._all, self._tenants[tenant], self._batches[batch_id]):
            use.places -= 1

    def give_back(self, tenant: str, batch_id: str, *, lent: bool) -> None:
        """Count a fetch no more."""
        for use in (self._all, self._tenants[tenant], self._batches[batch_id]):
            use.under_way -= 1
            use.places -= not lent
        for uses, name in ((self._tenants, tenant), (self._batches, batch_id)):
            if not uses[name].under_way:
                del uses[name]

    def hold_back(self, running: RunningBatch, host: str | None = None) -> None:
        """Remember a batch that wants a fetch, or whose items are passed over at a host, until it has room."""
        hosts = self._held_back.setdefault(running.batch.tenant, {}).setdefault(running, set())
        if host is not None:
            hosts.add(host)

    def relieved(self) -> list[tuple[RunningBatch, set[str]]]:
        """Take out batches that have room again, some of each tenant, with the hosts that passed them over."""
        found = []
        for tenant, waiting in list(self._held_back.items()):
            if _admits(self._of_tenant(tenant), self._per_tenant, self._all, self._overall):
                with_room = list(islice(filter(self.has_room, waiting), _RELIEVED_AT_ONCE))
                found += [(running, waiting.pop(running)) for running in with_room]
                if not waiting:
                    del self._held_back[tenant]
        return found

    def forget(self, running: RunningBatch) -> None:
        """Hold a batch back no more."""
        waiting = self._held_back.get(running.batch.tenant, {})
        waiting.pop(running, None)
        if not waiting:
            self._held_back.pop(running.batch.tenant, None)
