"""What is said where a tenant has as much as it may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from imagebatch_server.batches.errors import LimitExceeded
from imagebatch_server.batches.quotas import Quotas


def test_without_limits_everything_fits() -> None:
    quotas = Quotas()
    quotas.check_running(999)
    quotas.check_waiting(10**9, 10**9)
    quotas.check_stored(10**18)


def test_the_most_is_allowed_and_one_more_is_not() -> None:
    quotas = Quotas(max_running_batches=2, max_waiting_items=5, max_stored_bytes=100)
    quotas.check_running(1)
    quotas.check_waiting(2, 3)
    quotas.check_stored(100)
    checks: list[Callable[[], None]] = [
        lambda: quotas.check_running(2),
        lambda: quotas.check_waiting(2, 4),
        lambda: quotas.check_waiting(0, 6),
        lambda: quotas.check_stored(101),
    ]
    for check in checks:
        with pytest.raises(LimitExceeded) as caught:
            check()
        limit = caught.value.limit
        assert limit.observed >= limit.value
        assert str(limit.value) in str(caught.value)
        assert limit.setting is not None
        assert limit.setting in str(caught.value)


def test_only_where_waiting_helps_it_is_said_when_to_try_again() -> None:
    quotas = Quotas(max_running_batches=2, max_waiting_items=5, max_stored_bytes=100)

    def retry_after_s(check: Callable[[], None]) -> float | None:
        with pytest.raises(LimitExceeded) as caught:
            check()
        return caught.value.retry_after_s

    assert retry_after_s(lambda: quotas.check_running(2)) is not None
    assert retry_after_s(lambda: quotas.check_waiting(5, 1)) is not None
    assert retry_after_s(lambda: quotas.check_waiting(5, 6)) is None
    assert retry_after_s(lambda: quotas.check_stored(101)) is None
