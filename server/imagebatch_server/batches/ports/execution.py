"""Who runs items, what is reported of them, and which operations there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from imagebatch_server.batches.errors import Violation
from imagebatch_server.batches.model import AttemptResult, Dispatch


class Executor(Protocol):
    """Run attempts, on processes of this machine or elsewhere, and report to a `DispatchEvents`.

    It may have several lanes, for work of different kinds; one that is full holds up no other.
    """

    @property
    def alive(self) -> int:
        """Workers that take items now."""

    @property
    def restarts(self) -> int:
        """Workers that were replaced since the start."""

    @property
    def trouble(self) -> str | None:
        """Why no item can run now, although nothing keeps the server from taking them; None if they can."""

    async def start(self, events: DispatchEvents) -> None:
        """Start workers, and report to `events` from now on. Raises an error that says why if none comes up."""

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more, wait at most `grace_s` seconds for what was begun, then end the workers.

        What ends meanwhile is reported; what does not end is not.
        """

    def lane(self, operation: str, parameters: bytes | None) -> str:
        """Choose the lane in which a batch's attempts run."""

    def submit(self, dispatch: Dispatch) -> None:
        """Take one attempt; never blocks. Exactly one `finished` follows, unless the executor is stopped."""

    def forget(self, dispatch: Dispatch) -> None:
        """Drop an attempt that no child has begun; its `finished` does not come, a due `fetched` still does."""

    def withdraw(self, dispatch: Dispatch) -> bool:
        """Forget an attempt, unless a worker has it and would run it all the same; answers whether it is forgotten."""

    def room(self, lane: str) -> int:
        """How many more stored images a lane wants, to stay busy and no more."""

    def room_to_fetch(self, lane: str) -> int:
        """How many more images given by URL a lane wants to fetch ahead."""

    def first_turn_ms(self, lane: str) -> float:
        """Tell the turn (`Dispatch.turn_ms`) that a worker takes next of what is ready for one; inf if nothing is."""

    def last_turn_ms(self, lane: str) -> float:
        """Tell the last turn that waits for a worker; -inf where items are known to be quick.

        What has an earlier one is wanted too, stored or fetched, whatever the room: it goes before.
        """


class DispatchEvents(Protocol):
    """What an executor reports, on the event loop's thread."""

    def fetched(self, dispatch: Dispatch) -> None:
        """Note that an image given by URL is here, could not be got, or is not wanted: its host's slot is free."""

    def answered(self, dispatch: Dispatch) -> None:
        """Note that the host of an image given by URL sent it, or said that it never will."""

    def started(self, dispatch: Dispatch) -> None:
        """Note that a child process began to work on the item."""

    def finished(self, result: AttemptResult) -> None:
        """Note that the attempt came to an end."""

    def fetch_is_slow(self, dispatch: Dispatch) -> None:
        """Note that it takes long: others may be fetched in its stead, and of its host as few as before."""

    def room_grew(self) -> None:
        """Note that more is wanted although nothing has ended: workers have joined."""


class OperationDirectory(Protocol):
    """Which operations there are."""

    def violations(self, operation: str, parameters: bytes | None) -> Sequence[Violation]:
        """Check an operation's parameters; paths begin with `options.parameters`. Raises UnknownOperation."""
