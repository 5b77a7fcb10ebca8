"""A ring holds what was heard of, without gaps, and renders it once, when somebody asks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.unit.batches.samples import batch, item

from imagebatch.v1.enums import BatchItemStatus, BatchStatus
from imagebatch_server.batches import ring as rings
from imagebatch_server.batches.model import ItemResult, Outcome
from imagebatch_server.batches.ring import Ring

PLACE = (0, frozenset[BatchItemStatus]())


def results(first: int, last: int, output_data: bytes = b"") -> list[ItemResult]:
    return [
        ItemResult("b", item(index), Outcome(index, BatchItemStatus.SUCCESS, output_data=output_data), index)
        for index in range(first, last + 1)
    ]


class Renderer:
    def __init__(self) -> None:
        self.rendered: list[int | None] = []

    def __call__(self, tenant: str, result: ItemResult) -> bytes:
        self.rendered.append(result.sequence)
        return str(result.sequence).encode()


def filled(*commits: Sequence[ItemResult]) -> Ring:
    ring = Ring(batch())
    for number, commit in enumerate(commits):
        ring.append(batch(last_sequence=commit[-1].sequence), commit, float(number))
    return ring


def sequences(ring: Ring, after: int) -> list[int | None] | None:
    found = ring.after(after, Renderer())
    if found is None:
        return None
    assert [str(result.sequence).encode() for result in found.results] == list(found.data)
    return [result.sequence for result in found.results]


def test_it_answers_what_follows_from_anywhere() -> None:
    ring = filled(results(1, 3), results(4, 4), results(5, 9))
    for after in range(10):
        assert sequences(ring, after) == list(range(after + 1, 10))
    assert sequences(ring, 11) == []


def test_the_oldest_commit_tells_how_long_it_took() -> None:
    ring = filled(results(1, 3), results(4, 5), results(6, 9))
    ages = [found.committed_at for after in (0, 2, 3, 6, 9) if (found := ring.after(after, Renderer())) is not None]
    assert ages == [0.0, 0.0, 1.0, 2.0, None]


def test_only_what_is_asked_for_is_rendered_and_only_once() -> None:
    ring = filled(results(1, 2), results(3, 4))
    renderer = Renderer()
    for _ in range(3):
        ring.after(2, renderer)
    assert renderer.rendered == [3, 4]
    ring.after(0, renderer)
    assert sorted(renderer.rendered, key=lambda sequence: sequence or 0) == [1, 2, 3, 4]


def test_a_gap_drops_what_was_before_it() -> None:
    ring = filled(results(1, 3), results(6, 7))
    assert sequences(ring, 4) is None
    assert sequences(ring, 5) == [6, 7]


def test_outcomes_of_unknown_sequences_are_read_from_the_store() -> None:
    ring = filled(results(1, 3))
    ring.append(batch(last_sequence=5), None, 1.0)
    assert sequences(ring, 0) is None
    assert sequences(ring, 4) is None
    ring.append(batch(last_sequence=6), results(6, 6), 2.0)
    assert sequences(ring, 5) == [6]


def test_a_newer_state_does_not_cost_what_is_held() -> None:
    ring = filled(results(1, 3))
    ring.refresh(batch(last_sequence=6))  # read from the store before the news came
    assert ring.last_sequence == 6
    assert sequences(ring, 3) is None
    assert sequences(ring, 1) == [2, 3]
    ring.append(batch(last_sequence=5), results(4, 5), 1.0)
    assert ring.last_sequence == 6
    ring.append(batch(last_sequence=6), results(6, 6), 2.0)
    assert sequences(ring, 0) == [1, 2, 3, 4, 5, 6]


def test_a_state_from_before_a_retry_is_not_taken() -> None:
    ring = filled(results(1, 3))
    ring.append(batch(last_sequence=3, owner_epoch=2, status=BatchStatus.PROCESSING), None, 1.0)
    ring.refresh(batch(last_sequence=3, status=BatchStatus.FAILED))
    assert ring.batch.status is BatchStatus.PROCESSING


def test_it_is_bounded_by_rows_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rings, "RING_ROWS", 5)
    ring = filled(results(1, 3), results(4, 5), results(6, 8))
    assert (sequences(ring, 2), sequences(ring, 3)) == (None, [4, 5, 6, 7, 8])
    monkeypatch.setattr(rings, "RING_BYTES", 10_000)
    ring = filled(results(1, 1, bytes(5_000)), results(2, 2, bytes(5_000)))
    assert (sequences(ring, 0), sequences(ring, 1)) == (None, [2])


async def test_every_bell_rings_at_news() -> None:
    ring = Ring(batch())
    bells = [asyncio.Event(), asyncio.Event()]
    ring.bells.update(bells)
    ring.append(batch(last_sequence=1), results(1, 1), 0.0)
    assert all(bell.is_set() for bell in bells)


def test_what_was_rendered_is_made_anew_before_its_urls_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("imagebatch_server.batches.ring.time.monotonic", lambda: now)
    ring, renderer = Ring(batch(), kept_s=10.0), Renderer()
    ring.append(batch(last_sequence=2), results(1, 2), 0.0)

    def read() -> None:
        ring.renew()
        if ring.memo(PLACE) is None:
            ring.after(0, renderer)
            ring.keep(PLACE, ())

    read()
    now += 10.0
    read()
    assert renderer.rendered == [1, 2], "it is kept"
    now += 0.1
    read()
    assert renderer.rendered == [1, 2, 1, 2]
