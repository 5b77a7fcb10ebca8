"""Which attempts go together, and when."""

from __future__ import annotations

import pytest
from tests.unit.executors.samples import attempt, indexes

from imagebatch_server.executors.attempts.worker_pool import CHUNK_S
from imagebatch_server.executors.processes.ready_queue import Pace, ReadyQueue


def queue_of(item_s: float | None, *operations: str, chunk_items: int = 0, **limits: int) -> ReadyQueue:
    """Make a queue that knows how long items take, or does not."""
    pace = Pace()
    if item_s is not None:
        for operation in operations or ("noop",):
            pace.observe(operation, item_s)
    return ReadyQueue(pace, {"noop": chunk_items} if chunk_items else {}, **limits)


def test_the_first_chunk_of_an_unknown_operation_is_one_item() -> None:
    queue = queue_of(None)
    for index in range(3):
        queue.add(attempt(index))
    assert indexes(queue.take(1)) == [0]
    assert indexes(queue.take(1)) == [1]


@pytest.mark.parametrize(("item_s", "items"), [(CHUNK_S * 3, 1), (CHUNK_S / 10, 10), (1e-6, 256), (0.0, 256)])
def test_a_chunk_is_so_much_work_and_not_too_many_items(item_s: float, items: int) -> None:
    queue = queue_of(item_s)
    for index in range(1_000):
        queue.add(attempt(index))
    assert indexes(queue.take(1)) == list(range(items))


def test_what_is_ready_is_shared_by_the_workers_that_could_take_it() -> None:
    queue = queue_of(0.001)
    for index in range(10):
        queue.add(attempt(index))
    assert [indexes(queue.take(workers)) for workers in (3, 2, 1)] == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert queue.take(1) == []
    assert queue.next_operation() is None


def test_a_chunk_holds_bounded_bytes_but_at_least_one_image() -> None:
    queue = queue_of(0.001)
    image = bytes(40 * 1024 * 1024)
    for index in range(3):
        queue.add(attempt(index, data=image))
    queue.add(attempt(3, data=b"small"))
    assert [indexes(queue.take(1)) for _ in range(3)] == [[0], [1], [2, 3]]


def test_operations_and_parameters_are_not_mixed() -> None:
    queue = queue_of(0.001, "a", "b")
    kinds = [("a", None), ("a", None), ("b", None), ("b", b"x"), ("b", b"y"), ("a", None)]
    for index, (operation, parameters) in enumerate(kinds):
        queue.add(attempt(index, operation=operation, parameters=parameters))
    assert [indexes(queue.take(1)) for _ in range(5)] == [[0, 1], [2], [3], [4], [5]]


def test_batches_take_turns_and_fill_each_others_chunks() -> None:
    queue = queue_of(CHUNK_S / 2, "noop", "other")
    for index in range(6):
        queue.add(attempt(index, batch_id="large"))
    queue.add(attempt(10, batch_id="other", operation="other"))
    queue.add(attempt(20, batch_id="small"))
    assert queue.next_operation() == "noop"
    chunks = []
    while chunk := indexes(queue.take(1)):
        chunks.append(chunk)
    assert chunks == [[0, 1], [10], [20, 2], [3, 4], [5]]


def test_a_tenant_goes_by_its_turn_however_much_was_brought_of_others() -> None:
    queue = queue_of(CHUNK_S / 2)
    for index in range(6):
        queue.add(attempt(index, tenant="busy", turn_ms=1_000.0 + index, batch_id=f"busy {index}"))
    queue.add(attempt(10, tenant="idle", turn_ms=750.0))
    queue.add(attempt(11, tenant="idle", turn_ms=1_001.0))
    queue.add(attempt(12, tenant="idle", turn_ms=1_003.0))
    chunks = [queue.take(1) for _ in range(5)]
    assert [indexes(chunk) for chunk in chunks] == [[10, 11], [0, 1], [2, 3], [12, 4], [5]]
    assert queue.next_operation() is None
    queue.put_back(chunks[0])
    assert indexes(queue.take(1)) == [10, 11]


def test_what_is_put_back_comes_first_and_in_order() -> None:
    queue = queue_of(CHUNK_S / 3)
    for index in range(6):
        queue.add(attempt(index, batch_id="a"))
    queue.add(attempt(10, batch_id="b"))
    taken = queue.take(1)
    assert indexes(taken) == [0, 1, 2]
    queue.put_back(taken[1:])
    assert indexes(queue.take(1)) == [1, 2, 3]


def test_what_is_forgotten_is_not_handed_out() -> None:
    queue = queue_of(0.001)
    attempts = [attempt(index, batch_id="ab"[index % 2]) for index in range(6)]
    for one in attempts:
        queue.add(one)
    for index in (0, 1, 2, 5):
        attempts[index].forgotten = True
    assert indexes(queue.take(1)) == [4, 3]
    assert queue.next_operation() is None


def test_what_children_died_over_goes_alone() -> None:
    queue = queue_of(0.001)
    attempts = [attempt(index) for index in range(5)]
    attempts[0].strikes = attempts[3].strikes = 2
    attempts[1].strikes = 1
    for one in attempts:
        queue.add(one)
    assert [indexes(queue.take(1)) for _ in range(4)] == [[0], [1, 2], [3], [4]]


def test_the_pace_follows_what_items_take() -> None:
    pace = Pace()
    assert pace.expected_s("noop") == CHUNK_S
    pace.observe("noop", 1.0)
    assert pace.expected_s("noop") == 1.0
    for _ in range(100):
        pace.observe("noop", 0.01)
    assert pace.expected_s("noop") == pytest.approx(0.01, rel=0.01)
    assert pace.expected_s("other") == CHUNK_S


def test_an_operation_that_takes_chunks_gets_its_number_however_long_they_take() -> None:
    queue = queue_of(CHUNK_S * 5, chunk_items=4)
    for index in range(6):
        queue.add(attempt(index))
    assert [indexes(queue.take(1)) for _ in range(2)] == [[0, 1, 2, 3], [4, 5]]


def test_an_attempt_that_goes_alone_does_so_before_and_behind_others() -> None:
    queue = queue_of(0.001)
    for index in range(5):
        queue.add(attempt(index))
    suspects = queue.take(1)[1:3]
    for suspect in suspects:
        suspect.suspected = True
    queue.put_back(suspects)
    queue.add(attempt(5))
    assert queue.next_goes_alone()
    assert [indexes(queue.take(1)) for _ in range(2)] == [[1], [2]]
    assert not queue.next_goes_alone()
    assert indexes(queue.take(1)) == [5]


def test_a_limit_of_one_makes_every_attempt_a_chunk() -> None:
    queue = queue_of(0.001, most_items=1)
    for index in range(2):
        queue.add(attempt(index))
    assert [indexes(queue.take(1)) for _ in range(2)] == [[0], [1]]
