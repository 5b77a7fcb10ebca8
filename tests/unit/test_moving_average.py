"""What was assumed counts for nothing once something was observed; after that each value counts for a tenth."""

from __future__ import annotations

import pytest

from imagebatch_server.moving_average import MovingAverage


def test_the_first_value_stands_for_itself_and_later_ones_move_it() -> None:
    average = MovingAverage(100.0)
    assert average.value == 100.0
    average.observe(10.0)
    assert average.value == 10.0
    average.observe(20.0)
    assert average.value == pytest.approx(11.0)
