"""What servers may have together is divided, and what can't be divided goes round."""

from __future__ import annotations

import pytest
from tests.unit.batches.samples import ALL, Place

from imagebatch_server.batches.share import TURN_S, Share


@pytest.mark.parametrize("count", [1, 2, 3, 8, 11])
@pytest.mark.parametrize("limit", [1, 2, 8, 64])
def test_the_parts_add_up_and_each_has_as_much_in_the_end(limit: int, count: int) -> None:
    places = [Place(rank, count) for rank in range(count)]
    had = [0] * count
    for turn in range(count):
        for place in places:
            place.now_s = (turn + 0.5) * TURN_S
        parts = [Share(place).of(limit) for place in places]
        assert sum(parts) == limit
        assert max(parts) - min(parts) <= 1
        had = [before + part for before, part in zip(had, parts, strict=True)]
    assert had == [limit] * count


def test_a_rate_is_divided() -> None:
    assert Share(Place(count=4)).of_rate(2.0) == 0.5
    assert Share(Place(count=4)).of_rate(None) is None


def test_what_changes_at_the_next_turn() -> None:
    place = Place(count=2)
    place.now_s = 12.5 * TURN_S
    assert Share(place).changes_in_s() == TURN_S / 2
    assert ALL.changes_in_s() is None
