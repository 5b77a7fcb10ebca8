"""How servers hear of changes, and know of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

from imagebatch_server.batches.model import LiveServer, Load


class NewsKind(StrEnum):
    """What happened to a batch."""

    SUBMITTED = "submitted"
    CANCEL_REQUESTED = "cancel_requested"
    PAUSED = "paused"
    RESUMED = "resumed"
    UPDATED = "updated"
    """Its priority or its labels."""
    REOPENED = "reopened"
    MOVED = "moved"
    """To another owner."""
    DELETED = "deleted"
    """By its tenant, or because its time was up."""
    TENANT_DELETED = "tenant_deleted"
    """With all that it has; there is no batch_id."""
    WATCHED = "watched"
    """By somebody at a server that does not record it; told to the others again and again while that lasts."""
    RECORDED = "recorded"
    """Outcomes, by another server; told where a watch of the batch is known of."""


NewsSubscriber = Callable[[NewsKind, str, str], None]
"""Takes a kind, a tenant and a batch_id, on the event loop's thread; never blocks."""


class News(Protocol):
    """Tell of changes to batches, whichever part or server made them.

    It carries no data: a subscriber looks the batch up in the store, and so can't be misled by news that comes late,
    twice or out of order. What news is lost of is found by looking now and then.
    """

    def publish(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        """Tell all subscribers, on every server, of a change that is committed."""

    def tell_others(self, kind: NewsKind, tenant: str, batch_id: str) -> None:
        """Tell the subscribers on other servers alone, where those on this one know it anyway."""

    def subscribe(self, subscriber: NewsSubscriber) -> None:
        """Have a subscriber told from now on."""

    def when_missed(self, look: Callable[[], None]) -> None:
        """Have this called when news of other servers may have been lost, and now and then whenever there are any."""


class Servers(Protocol):
    """The servers that work on one database, this one among them, as of a second ago or so. Reading it never blocks."""

    @property
    def alone(self) -> bool:
        """Whether there can be no others."""

    @property
    def rank(self) -> int:
        """This server's place among those that live, by the time of their start; 0 for the oldest."""

    @property
    def count(self) -> int:
        """How many live; at least 1."""

    @property
    def term(self) -> int | None:
        """None while others may have taken over what this server owns; another number after each such time."""

    @property
    def may_take_over(self) -> bool:
        """Whether servers that don't live by now have had the time to say that they do."""

    def time_s(self) -> float:
        """Tell the time by the one clock that all of them share (seconds since the epoch)."""

    @property
    def own(self) -> LiveServer:
        """What this server last told the others of itself."""

    @property
    def others(self) -> Sequence[LiveServer]:
        """Those that live beside this one."""

    async def held(self) -> None:
        """Wait until there is a term."""

    def report(self, load: Callable[[], Load]) -> None:
        """Tell the others from now on what `load` answers; it is asked after each renewal, with `others` as of then."""

    async def drain(self) -> None:
        """Have nothing more given to this server."""
