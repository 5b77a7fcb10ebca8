"""How often one address may show what does not count."""

from __future__ import annotations

import pytest

from imagebatch_server.access import failed_attempts
from imagebatch_server.access.failed_attempts import FailedAttempts
from imagebatch_server.batches.errors import LimitExceeded


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(failed_attempts, "monotonic", lambda: now[0])
    return now


def test_beyond_the_most_nothing_is_judged_until_some_have_worn_off(clock: list[float]) -> None:
    refused: list[str] = []
    attempts = FailedAttempts(6, refused.append)
    for _ in range(6):
        attempts.check("10.0.0.1")
        attempts.failed("10.0.0.1")
    with pytest.raises(LimitExceeded) as caught:
        attempts.check("10.0.0.1")
    assert caught.value.retry_after_s == 10
    assert refused == ["max_failed_attempts_per_minute"]
    attempts.check("10.0.0.2")
    clock[0] += 10
    attempts.check("10.0.0.1")
    clock[0] += 3600
    for _ in range(6):
        attempts.check("10.0.0.1")
        attempts.failed("10.0.0.1")


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_attempts, "MAX_PEERS", 10)
    attempts = FailedAttempts(1, lambda _: None)
    for number in range(100):
        attempts.failed(str(number))
    assert len(attempts._failed) == 10
    attempts.check("0")
    with pytest.raises(LimitExceeded):
        attempts.check("99")
