"""What one caller may have under way."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from imagebatch_server.access.principal import ANONYMOUS, Principal, Role
from imagebatch_server.batches.errors import LimitExceeded
from imagebatch_server.rpc.call import Call, IncomingCall, host_of
from imagebatch_server.rpc.principal_limits import CALLS, CONNECTIONS, STREAMS, PrincipalLimits

ADA, EVE = (Principal("acme", name, frozenset({Role.WRITER})) for name in ("ada", "eve"))


def call(principal: Principal, port: int = 1) -> Call:
    return Call("WatchBatch", IncomingCall(f"ipv4:10.0.0.1:{port}", {}), principal)


def limits(most_streams: int = 2) -> PrincipalLimits:
    return PrincipalLimits({CALLS: 2, STREAMS: most_streams, CONNECTIONS: 2}, lambda _: None)


def test_each_caller_has_its_own_count_and_gets_back_what_it_ends() -> None:
    bounds = limits()
    with ExitStack() as under_way:
        for _ in range(2):
            under_way.enter_context(bounds.take(STREAMS, call(ADA)))
        with pytest.raises(LimitExceeded) as refused, bounds.take(STREAMS, call(ADA)):
            pass
        assert (refused.value.limit.name, refused.value.limit.value) == ("max_streams_per_principal", 2)
        with bounds.take(CALLS, call(ADA)), bounds.take(STREAMS, call(EVE)):
            pass
    with bounds.take(STREAMS, call(ADA)):
        pass
    assert bounds._peers == {}
    assert not any(bounds._under_way.values())


def test_connections_count_while_calls_are_under_way_on_them() -> None:
    bounds = limits(most_streams=10)
    with bounds.take(STREAMS, call(ADA, 1)), bounds.take(STREAMS, call(ADA, 2)), bounds.take(STREAMS, call(ADA, 2)):
        with pytest.raises(LimitExceeded) as refused, bounds.take(STREAMS, call(ADA, 3)):
            pass
        assert refused.value.limit.name == "max_connections_per_principal"
    with bounds.take(STREAMS, call(ADA, 3)):
        pass


def test_callers_who_are_not_told_apart_are_not_counted() -> None:
    bounds = limits()
    with ExitStack() as under_way:
        for port in range(10):
            under_way.enter_context(bounds.take(STREAMS, call(ANONYMOUS, port)))


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("ipv4:10.0.0.1:5", "10.0.0.1"),
        ("ipv6:%5B2001:db8::1%5D:5", "2001:db8::/64"),
        ("ipv6:[2001:db8::ffff]:5", "2001:db8::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:5", "fe80::/64"),
        ("unix:", "unix:"),
    ],
)
def test_an_address_is_told_from_a_peer(peer: str, host: str) -> None:
    assert host_of(peer) == host
