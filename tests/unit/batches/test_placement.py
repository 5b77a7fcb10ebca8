"""Which server a batch goes to."""

from __future__ import annotations

import pytest

from imagebatch_server.batches.model import NOBODY, LiveServer
from imagebatch_server.batches.placement import LEAST_MOVED, WaitingBatch, batches_to_move, items_to_move, owner_for


def server(
    name: str, waiting_items: int = 0, *, workers: int = 2, operations: str = "describe", draining: bool = False
) -> LiveServer:
    return LiveServer(name, operations.split(), workers, waiting_items, draining)


@pytest.mark.parametrize(
    ("own", "others", "chosen"),
    [
        (server("own"), [], "own"),
        (server("own", 1), [server("idle")], "own"),  # it has room
        (server("own", 3), [server("idle", 1)], "idle"),
        (server("own", 100), [server("busy", 200), server("busier", 300)], "own"),
        (server("own", 100), [server("large", 150, workers=8)], "large"),
        (server("own", 0, operations="verify"), [server("busy", 9_000)], "busy"),
        (server("own", draining=True), [server("busy", 9_000)], "busy"),
        (server("own", 10), [server("gone soon", draining=True)], "own"),
        (server("own", operations="verify"), [server("other", operations="verify thumbnail")], NOBODY),
    ],
)
def test_a_new_batch_goes_to_who_has_room(own: LiveServer, others: list[LiveServer], chosen: str) -> None:
    assert owner_for("describe", own, others) == chosen


@pytest.mark.parametrize(
    ("own", "other", "items"),
    [
        (server("own", 1_000), server("other"), 500),
        (server("own", 900, workers=1), server("other", workers=2), 600),
        (server("own", 1_000), server("other", 2), 0),  # it has no room
        (server("own", LEAST_MOVED), server("other"), 0),
        (server("own"), server("other"), 0),
        (server("own", 1_000), server("other", draining=True), 0),
        (server("own", 1_000, draining=True), server("other"), 0),
    ],
)
def test_waiting_items_are_evened_out(own: LiveServer, other: LiveServer, items: int) -> None:
    assert items_to_move(own, other) == items


def test_what_is_not_begun_moves_first_and_no_more_than_is_to_move() -> None:
    waiting = [
        WaitingBatch("begun", "describe", 300, is_begun=True),
        WaitingBatch("small", "describe", 100, is_begun=False),
        WaitingBatch("large", "describe", 250, is_begun=False),
        WaitingBatch("too large", "describe", 10_000, is_begun=False),
        WaitingBatch("of another operation", "verify", 10, is_begun=False),
        WaitingBatch("all in flight", "describe", 0, is_begun=True),
    ]
    assert batches_to_move(server("other"), waiting, 400) == ["large", "small"]
    assert batches_to_move(server("other"), waiting, 1_000) == ["large", "small", "begun"]
