"""How much an executor asks for."""

from __future__ import annotations

from imagebatch_server.executors.attempts.backlog import Backlog


def load_of(*works_s: float) -> Backlog:
    """Two workers that want 0.25 s of work each, and 2 items at the least."""
    backlog = Backlog(workers=2, ahead_s=0.25, least_items=2)
    for work_s in works_s:
        backlog.add(work_s)
    return backlog


def test_quick_items_are_wanted_by_their_work() -> None:
    assert load_of().room(0.0625) == 8
    assert load_of(0.125).room(0.0625) == 6
    assert load_of(0.5).room(0.0625) == 3, "as many as there are at the least, however long they take"


def test_slow_items_are_wanted_by_their_number() -> None:
    assert load_of().room(10.0) == 4
    assert load_of(10.0, 10.0, 10.0).room(10.0) == 1
    assert load_of(10.0, 10.0, 10.0, 10.0).room(10.0) == 0
    assert load_of(10.0, 10.0, 10.0, 10.0, 10.0).room(0.001) == 0


def test_there_is_a_most_however_quick_they_are() -> None:
    assert load_of().room(0.0) == 1_024
    assert load_of(*[0.0] * 1_024).room(0.0) == 0


def test_what_goes_makes_room_again() -> None:
    backlog = load_of(0.125, 0.25)
    backlog.remove(0.25)
    assert backlog.room(0.0625) == 6
    backlog.remove(0.125)
    assert backlog.room(0.0625) == 8
