"""Unit tests are quick: what takes over five seconds belongs where slow tests are."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes to make or to run says how busy the machine is.
settings.register_profile("imagebatch", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("imagebatch")

MOST_S = 5.0
"""Of the processor's time, children's included: how busy the machine is otherwise doesn't matter."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    began_s = _processor_s()
    result = yield
    s = _processor_s() - began_s
    if s > MOST_S:
        pytest.fail(f"{item.name} took {s:.1f} s, and a unit test may take {MOST_S:.0f}: move it from tests/unit")
    return result


def _processor_s() -> float:
    return sum(os.times()[:4])
