"""How often a tenant may call, by a clock of the test's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.clock import Clock

from imagebatch_server.access.principal import Principal, Role, stranger
from imagebatch_server.batches.errors import LimitExceeded
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.rpc.request_rates import RequestRates

ACME = Principal("acme", "ci", frozenset({Role.WRITER}))


def taken(rates: RequestRates, calls: int, principal: Principal = ACME) -> int:
    """Count how many of so many calls are taken."""
    count = 0
    for _ in range(calls):
        try:
            rates.take(principal)
        except LimitExceeded:
            continue
        count += 1
    return count


def test_a_burst_is_taken_and_then_the_rate() -> None:
    clock, refusals = Clock(), list[str]()
    rates = RequestRates(lambda _: Quotas(max_requests_per_s=10.0, max_requests_burst=5), refusals.append, clock)
    assert taken(rates, 20) == 5
    assert refusals == ["max_requests_per_s"] * 15
    clock.now += 0.25
    assert taken(rates, 20) == 2
    clock.now += 3_600
    assert taken(rates, 20) == 5
    assert taken(rates, 1, replace(ACME, tenant="other")) == 1


def test_the_refusal_tells_when_the_next_call_is_taken() -> None:
    clock = Clock()
    rates = RequestRates(lambda _: Quotas(max_requests_per_s=4.0, max_requests_burst=1), lambda _: None, clock)
    rates.take(ACME)
    clock.now += 0.125
    with pytest.raises(LimitExceeded) as caught:
        rates.take(ACME)
    error = caught.value
    assert error.retry_after_s == pytest.approx(0.125)
    assert (error.limit.name, error.limit.value, error.limit.setting) == (
        "max_requests_per_s",
        4.0,
        "IMAGEBATCH_MAX_REQUESTS_PER_S",
    )
    assert error.limit.observed == 16.0  # two calls in an eighth of a second
    clock.now += 0.125
    rates.take(ACME)


@pytest.mark.parametrize(("rate", "burst"), [(0.5, 1), (3.0, 3), (2.5, 2)])
def test_without_a_burst_of_its_own_a_second_is_taken_at_once(rate: float, burst: int) -> None:
    rates = RequestRates(lambda _: Quotas(max_requests_per_s=rate), lambda _: None, Clock())
    assert taken(rates, 10) == burst


def test_without_a_quota_nothing_is_kept() -> None:
    rates = RequestRates(lambda _: Quotas(), lambda _: None, Clock())
    assert taken(rates, 1_000) == 1_000
    assert not rates._buckets


def test_strangers_have_a_rate_for_each_address_and_draw_on_no_tenants() -> None:
    rates = RequestRates(lambda _: Quotas(max_requests_per_s=1.0, max_requests_burst=2), lambda _: None, Clock())
    assert taken(rates, 10, stranger("10.0.0.1")) == 2
    assert taken(rates, 10, stranger("10.0.0.2")) == 2
    assert taken(rates, 10, replace(ACME, tenant="default")) == 2
    with pytest.raises(LimitExceeded, match=r"address 10\.0\.0\.1 calls"):
        rates.take(stranger("10.0.0.1"))
