"""Whose images may be fetched now: some at a time overall, few a host, and none while a host wants to be left alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from imagebatch_server.batches.fetch_shares import FetchShares
from imagebatch_server.batches.host_queue import HostQueue
from imagebatch_server.batches.model import Dispatch
from imagebatch_server.batches.pace import Pace
from imagebatch_server.batches.running import RunningBatch
from imagebatch_server.batches.share import Share
from imagebatch_server.urls import host_of

_Key = tuple[RunningBatch, int]

MOST_REMEMBERED = 10_000
"""Hosts whose pace is remembered although nothing waits for them."""


_LOOKED_AT = 100
"""Hosts of a batch that are looked at for what it waits for."""


class HostWait(NamedTuple):
    """A host that items wait for, and until when it wants to be left alone; None if it has as much as it bears."""

    host: str
    items: int
    held_until: float | None


class Timer(Protocol):
    """Something that is due later."""

    def cancel(self) -> None:
        """Let it not happen."""


class Clock(Protocol):
    """The part of an event loop that tells the time."""

    def time(self) -> float:
        """Seconds on a monotonic clock."""

    def call_at(self, when: float, callback: Callable[..., object], /, *args: Any) -> Timer:
        """Call something at that time."""


@dataclass(slots=True)
class _Host:
    pace: Pace
    busy: Counter[str] = field(default_factory=Counter)
    """By tenant, fetches under way and slots that are kept for items which were called."""
    waiting: HostQueue = field(default_factory=HostQueue)
    since: dict[_Key, float] = field(default_factory=dict)
    """From when on each item waits, called ones included."""
    called: dict[_Key, None] = field(default_factory=dict)
    timer: Timer | None = None

    def has_room(self, slots: int) -> bool:
        """Whether it may have another fetch. One that only complains is tried by a single fetch, whatever its slots."""
        return self.busy.total() < (slots if self.pace.silent_since is None else min(slots, 1))

    def take(self, tenant: str) -> None:
        """Count a slot."""
        self.busy[tenant] = self.busy.get(tenant, 0) + 1

    def give_back(self, tenant: str) -> None:
        """Count it no more."""
        self.busy[tenant] -= 1
        if not self.busy[tenant]:
            del self.busy[tenant]

    def next(self, may: Callable[[RunningBatch], bool]) -> RunningBatch | None:
        """Find the waiting batch whose turn it is, among those that may have a fetch."""
        return self.waiting.next(self.busy, may)

    def kept_from(self, tenant: str) -> _Key | None:
        """Find an item that was called for a tenant with two slots more than this one: it has not gone yet."""
        called = [key for key in self.called if self.busy[_tenant(key)] >= self.busy[tenant] + 2]
        return max(called, key=lambda key: self.busy[_tenant(key)], default=None)


def _tenant(key: _Key) -> str:
    return key[0].batch.tenant


class Hosts:
    """Give out leave to fetch.

    An item whose host can't be asked now waits here by its index, and is called when it can be, with a slot kept for
    it; those that wait for one host are called in turn (`HostQueue`). Where workers are the slower ones, what was
    called waits for them: so a kept slot goes to a tenant that has fewer, and who had it waits for the host again.

    The same goes for places overall: one that is kept, at whichever host, goes to a tenant that could have no other.

    Nothing waits for ever: an item whose host has done nothing but complain for `patience_s` is called to be given up.
    """

    def __init__(
        self,
        *,
        overall: int,
        per_host: int,
        share: Share,
        per_batch: int | None = None,
        per_tenant: int | None = None,
        most_per_s: float | None = None,
        patience_s: float = 3_600.0,
        clock: Clock | None = None,
    ) -> None:
        """`overall` and those per host, batch and tenant are fetches at a time, None for as many as there are overall.

        `most_per_s` is how many may begin at a host in a second. Both limits of a host are for all servers together, of
        which this one takes its share.
        """
        self._overall = overall
        self._shares = FetchShares(
            overall=overall, per_tenant=per_tenant or overall, per_batch=per_batch or per_tenant or overall
        )
        self._per_host = per_host
        self._share = share
        self._most_per_s = most_per_s
        self._patience_s = patience_s
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._hosts: dict[str, _Host] = {}
        self._waits_for: dict[RunningBatch, set[str]] = {}
        self._called: dict[_Key, str] = {}
        """Of all hosts, by name, in order."""
        self._busy_overall = 0
        self._lent: set[int] = set()
        """Fetches whose slot, overall, others have meanwhile, by the id of their dispatch, which lives as long."""
        self._call: Callable[[RunningBatch, int], None] = lambda _running, _item_index: None

    @property
    def patience_s(self) -> float:
        """How long an item waits for whoever wants to be left alone."""
        return self._patience_s

    def attach(self, call: Callable[[RunningBatch, int], None]) -> None:
        """Have items that wait here called by this function."""
        self._call = call

    def room(self) -> int:
        """Answer how many more fetches there may be, of whichever hosts."""
        return self._overall - self._busy_overall

    def has_share(self, name: str, running: RunningBatch, item_index: int) -> bool:
        """Tell whether an item may be fetched as far as its batch and tenant go; if not, the batch is held back."""
        if (running, item_index) in self._called or self._shares.has_room(running) or self._takes_back(running):
            return True
        self._shares.hold_back(running)
        return False

    def relieved(self) -> list[RunningBatch]:
        """Take out batches that were held back and need not be any more."""
        relieved = self._shares.relieved()
        for _, names in relieved:
            for name in names:
                self._serve(name)  # now: those that are relieved after it, as they have more, would take what is free
        return [running for running, _ in relieved]

    def acquire(self, name: str, running: RunningBatch, item_index: int) -> bool:
        """Take leave to fetch an item, which has its share; False if it has to wait."""
        host, key, now = self._host(name), (running, item_index), self._clock.time()
        if key in host.called:
            if host.pace.is_held(now):  # it complained while the item was on its way
                self._uncall(host, key)
                return False
            del host.called[key], self._called[key]
        elif host.waiting or not host.has_room(self._slots()) or host.pace.ready_at > now:
            return False
        else:
            self._take(host, running, now)
        host.since.pop(key, None)
        self._busy_overall += 1
        return True

    def wait(self, name: str, running: RunningBatch, item_index: int, *, first: bool = False) -> None:
        """Let an item wait, before its batch's others if it is to be the `first`, or if it was called before."""
        host, key = self._host(name), (running, item_index)
        host.waiting.add(running, item_index, first=first or key in host.since)
        host.since.setdefault(key, self._clock.time())
        self._waits_for.setdefault(running, set()).add(name)
        self._serve_later(name, host)

    def waits_of(self, running: RunningBatch) -> HostWait | None:
        """Tell which host most of a batch's items wait for, of the first few; None if none waits."""
        now = self._clock.time()
        most: HostWait | None = None
        for name in islice(self._waits_for.get(running, ()), _LOOKED_AT):
            host = self._hosts.get(name)  # one that nothing waits for any more may be forgotten
            items = 0 if host is None else host.waiting.count(running)
            if host is not None and items > (most.items if most is not None else 0):
                most = HostWait(name, items, host.pace.ready_at if host.pace.is_held(now) else None)
        return most

    def gives_up(self, name: str, running: RunningBatch, item_index: int) -> bool:
        """Tell whether an item has waited too long for a host that only complains."""
        host, key = self._host(name), (running, item_index)
        if key not in host.since or self._clock.time() < self._overdue_at(host, key):
            return False
        del host.since[key]
        return True

    def release(self, dispatch: Dispatch) -> None:
        """Give the slots of a fetch back."""
        name = host_of(dispatch.item.image_url or "")
        host = self._host(name)
        host.give_back(dispatch.tenant)
        lent = id(dispatch) in self._lent
        self._shares.give_back(dispatch.tenant, dispatch.batch_id, lent=lent)
        if lent:
            self._lent.remove(id(dispatch))
        else:
            self._busy_overall -= 1
        self._serve_later(name, host)

    def lend(self, dispatch: Dispatch) -> None:
        """Let others have the slot, overall, of a fetch that is slow; its host's it keeps."""
        self._lent.add(id(dispatch))
        self._busy_overall -= 1
        self._shares.lend(dispatch.tenant, dispatch.batch_id)

    def answered(self, name: str) -> None:
        """Note that the host sent what it was asked for, or said that it never will."""
        self._host(name).pace.answered(self._clock.time())

    def complained(self, name: str, retry_after_s: float | None) -> None:
        """Note that the host wants to be left alone, for so long if it says."""
        host = self._host(name)
        host.pace.complained(self._clock.time(), retry_after_s)
        self._serve_later(name, host)

    def forget(self, running: RunningBatch) -> None:
        """Let nothing of a batch wait any more."""
        self._shares.forget(running)
        for name in self._waits_for.pop(running, ()):
            host = self._host(name)
            host.waiting.remove(running)
            for key in [key for key in host.since if key[0] is running]:
                del host.since[key]
                if key in host.called:
                    self._uncall(host, key)
            self._serve_later(name, host)

    def _slots(self) -> int:
        return self._share.of(self._per_host)

    def _take(self, host: _Host, running: RunningBatch, now: float) -> None:
        host.take(running.batch.tenant)
        host.pace.limit(self._share.of_rate(self._most_per_s))
        host.pace.begin(now)
        self._shares.take(running.batch.tenant, running.batch.batch_id)

    def _uncall(self, host: _Host, key: _Key) -> None:
        del host.called[key], self._called[key]
        host.give_back(_tenant(key))
        self._shares.give_back(_tenant(key), key[0].batch.batch_id, lent=False)

    def _takes_back(self, running: RunningBatch) -> bool:
        """Have a batch get places that are kept for tenants with two more, if it can have no others; whether it did."""
        tenant, emptied = running.batch.tenant, set[str]()
        while self._shares.is_short(running):
            key = max(reversed(self._called), key=lambda key: self._shares.places(_tenant(key)), default=None)
            if key is None or self._shares.places(_tenant(key)) < self._shares.places(tenant) + 2:
                break
            name = self._called[key]
            self._uncall(self._host(name), key)
            emptied.add(name)
        for name in emptied:
            self._serve_later(name, self._host(name))
        return bool(emptied) and self._shares.has_room(running)

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= MOST_REMEMBERED:
                self._forget_idle()
            host = self._hosts[name] = _Host(Pace())
        return host

    def _forget_idle(self) -> None:
        now = self._clock.time()
        for name, host in list(self._hosts.items()):
            if not host.busy and not host.since and not host.pace.is_held(now):
                del self._hosts[name]

    def _overdue_at(self, host: _Host, key: _Key) -> float:
        silent_since = host.pace.silent_since
        return float("inf") if silent_since is None else max(host.since[key], silent_since) + self._patience_s

    def _overdue(self, host: _Host, now: float) -> list[_Key]:
        if host.pace.silent_since is None:
            return []
        return [head for head in host.waiting.heads() if now >= self._overdue_at(host, head)]

    def _serve_later(self, name: str, host: _Host) -> None:
        """Call who waits: after all that is being told now, or when the host can be asked, or is to be given up."""
        if host.timer is not None:
            host.timer.cancel()
            host.timer = None
        if not host.waiting:
            return
        due_at = float("inf")
        if host.pace.silent_since is not None:
            due_at = min(self._overdue_at(host, head) for head in host.waiting.heads())
        turn, has_room = host.next(self._shares.has_room), host.has_room(self._slots())
        if turn is None and has_room:
            turn = next((running for running, _ in host.waiting.heads() if self._takes_back(running)), None)
        if turn is not None and (has_room or host.kept_from(turn.batch.tenant)):
            due_at = min(due_at, host.pace.ready_at)
        elif has_room:
            for running, _ in host.waiting.heads():
                self._shares.hold_back(running, name)
        elif (changes_in_s := self._share.changes_in_s()) is not None:
            due_at = min(due_at, self._clock.time() + changes_in_s)
        if due_at < float("inf"):
            host.timer = self._clock.call_at(max(due_at, self._clock.time()), self._serve, name)

    def _serve(self, name: str) -> None:
        host = self._host(name)
        if host.timer is not None:
            host.timer.cancel()
            host.timer = None
        now = self._clock.time()
        while overdue := [running for running, _ in self._overdue(host, now)]:
            for running in overdue:
                self._call(running, host.waiting.pop(running))
        while host.pace.ready_at <= now and (turn := host.next(self._shares.has_room)) is not None:
            if not host.has_room(self._slots()):
                kept = host.kept_from(turn.batch.tenant)
                if kept is None:
                    break
                self._uncall(host, kept)
                continue
            key = turn, host.waiting.pop(turn)
            host.called[key] = None
            self._called[key] = name
            self._take(host, turn, now)
            self._call(*key)
        self._serve_later(name, host)
