"""How often a tenant may call several servers together, which hear of each other once a second; by the test's clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
from tests.unit.clock import Clock

from imagebatch_server.access.principal import Principal, Role, stranger
from imagebatch_server.batches.errors import LimitExceeded
from imagebatch_server.batches.model import LiveServer, TenantCalls
from imagebatch_server.batches.quotas import Quotas
from imagebatch_server.rpc.request_rates import RequestRates

ACME = Principal("acme", "ci", frozenset({Role.WRITER}))
RATE = 100.0
STEP_S = 0.005


class Service:
    """Servers that tell each other by rows, each at its own moment of a second."""

    def __init__(self, servers: int, *, rate: float = RATE, burst: int | None = None) -> None:
        self._clock = Clock()
        quotas = Quotas(max_requests_per_s=rate, max_requests_burst=burst)
        self.servers = [RequestRates(lambda _: quotas, lambda _: None, self._clock) for _ in range(servers)]
        self._rows: list[Mapping[str, TenantCalls]] = [{}] * servers
        self._heard: list[Sequence[LiveServer]] = [()] * servers

    def taken(self, for_s: int, calls_per_s: Callable[[int, float], float]) -> list[list[int]]:
        """Call each server so often, at each time; answers how many calls each took in each second."""
        count = len(self.servers)
        taken = [[0] * for_s for _ in self.servers]
        due = [0.0] * count
        steps_a_s = round(1 / STEP_S)
        for step in range(for_s * steps_a_s):
            for number, rates in enumerate(self.servers):
                if step % steps_a_s == number * steps_a_s // count:
                    self._renew(number)
                due[number] += calls_per_s(number, step * STEP_S) * STEP_S
                while due[number] >= 1:
                    due[number] -= 1
                    taken[number][step // steps_a_s] += is_taken(rates)
            self._clock.now += STEP_S
        return taken

    def _renew(self, number: int) -> None:
        self._rows[number] = self.servers[number].exchange(self._heard[number])
        rows = enumerate(self._rows)
        self._heard[number] = [LiveServer(str(one), (), 1, 0, calls=row) for one, row in rows if one != number]
        self.servers[number].exchange(self._heard[number])


def is_taken(rates: RequestRates, principal: Principal = ACME) -> bool:
    try:
        rates.take(principal)
    except LimitExceeded:
        return False
    return True


@pytest.mark.parametrize("servers", [2, 3, 10])
def test_all_servers_together_let_in_no_more_than_the_rate(servers: int) -> None:
    taken = Service(servers).taken(30, lambda _number, _at: 3 * RATE)
    assert sum(sum(each[-10:]) for each in taken) == pytest.approx(10 * RATE, rel=0.02)
    for each in taken:
        assert sum(each[-10:]) == pytest.approx(10 * RATE / servers, rel=0.1)


def test_who_calls_one_server_alone_has_all_of_the_rate_and_the_burst() -> None:
    service = Service(3)
    calls = service.taken(20, lambda number, at: 3 * RATE if number == 0 and not 5 <= at < 10 else 0.0)
    assert calls[1:] == [[0] * 20] * 2
    assert sum(calls[0][:5]) == pytest.approx(6 * RATE, abs=2)
    assert sum(calls[0][10:]) == pytest.approx(11 * RATE, abs=2)


def test_servers_share_as_they_are_asked() -> None:
    often, seldom = Service(2).taken(30, lambda number, _: (3 * RATE, RATE)[number])
    assert sum(often[-10:]) == pytest.approx(7.5 * RATE, rel=0.05)
    assert sum(seldom[-10:]) == pytest.approx(2.5 * RATE, rel=0.05)


@pytest.mark.parametrize("burst", [None, 10])
def test_below_the_rate_no_call_is_refused_wherever_it_comes(burst: int | None) -> None:
    taken = Service(3, burst=burst).taken(20, lambda _number, _at: 0.3 * RATE)
    assert [sum(each[-15:]) for each in taken] == [pytest.approx(15 * 0.3 * RATE, abs=1)] * 3


def test_what_was_taken_before_servers_heard_of_it_is_made_up_for() -> None:
    taken = Service(3).taken(5, lambda _number, _at: 3 * RATE)
    assert sum(each[0] for each in taken) > 5 * RATE  # a burst and a second's worth, of each
    assert sum(sum(each[2:4]) for each in taken) < 1.5 * RATE


def test_a_caller_that_goes_to_another_server_has_its_rate_there_soon() -> None:
    first, second = Service(2).taken(30, lambda number, at: 3 * RATE if number == (at >= 15) else 0.0)
    assert sum(first[5:15]) == pytest.approx(10 * RATE, rel=0.02)
    assert sum(second[15:20]) > 2.5 * RATE
    assert sum(second[-5:]) == pytest.approx(5 * RATE, rel=0.05)


def test_a_rate_of_less_than_a_call_a_second_is_shared_too() -> None:
    taken = Service(3, rate=0.5).taken(120, lambda _number, _at: 1.0)
    assert 40 <= sum(map(sum, taken)) <= 70


def test_what_is_told_is_of_tenants_that_call_often() -> None:
    service = Service(1)
    (rates,) = service.servers
    assert is_taken(rates)
    assert is_taken(rates, stranger("10.0.0.1"))
    assert rates.exchange([]) == {}
    service.taken(2, lambda _number, _at: RATE)
    told = rates.exchange([])
    assert list(told) == ["acme"]
    assert told["acme"].taken > RATE
