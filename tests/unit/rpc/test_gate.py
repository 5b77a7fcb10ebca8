"""Who is let in where an rpc answers strangers."""

from __future__ import annotations

import pytest
from tests.unit.access.test_authenticator import LATER, TOKEN, authenticator

from imagebatch_server.access import permissions
from imagebatch_server.access.authenticator import Authenticator
from imagebatch_server.access.certificate import Certificate
from imagebatch_server.access.failed_attempts import FailedAttempts
from imagebatch_server.access.principal import ANONYMOUS, NO_TENANT, TENANT, Role
from imagebatch_server.batches.errors import Unauthenticated
from imagebatch_server.rpc.call import IncomingCall
from imagebatch_server.rpc.gate import Gate

PEER = "ipv4:10.0.0.1:40312"
NOTHING = IncomingCall(PEER, {})
OPEN_RPCS = ("GetServerInfo", permissions.REFLECTION)


@pytest.mark.parametrize("rpc", OPEN_RPCS)
async def test_a_stranger_is_of_no_tenant_and_told_by_its_address(rpc: str) -> None:
    gate = Gate(authenticator(), public_info=True)
    principal = await gate.admit(rpc, NOTHING)
    assert (principal.tenant, principal.name, principal.roles) == (NO_TENANT, "10.0.0.1", frozenset({Role.READER}))
    assert TENANT.fullmatch(NO_TENANT) is None
    await gate.readmit(rpc, NOTHING)  # an open stream goes on


async def test_strangers_are_let_in_to_nothing_else() -> None:
    gate = Gate(authenticator(most_failed=100), public_info=True)
    for rpc in permissions.LEAST_ROLE.keys() - set(OPEN_RPCS):
        with pytest.raises(Unauthenticated):
            await gate.admit(rpc, NOTHING)
    for rpc in OPEN_RPCS:
        with pytest.raises(Unauthenticated):
            await Gate(authenticator(), public_info=False).admit(rpc, NOTHING)


async def test_whoever_shows_something_is_no_stranger() -> None:
    gate = Gate(authenticator(), public_info=True)
    assert (await gate.admit("GetServerInfo", IncomingCall(PEER, {"authorization": f"Bearer {TOKEN}"}))).name == "ci"
    with pytest.raises(Unauthenticated):
        await gate.admit("GetServerInfo", IncomingCall(PEER, {"authorization": "Bearer wrong"}))
    edge = IncomingCall(PEER, {}, Certificate(("spiffe://acme/edge",), LATER))
    assert (await gate.admit("GetServerInfo", edge)).tenant == "acme"
    nobody_s = IncomingCall(PEER, {}, Certificate(("spiffe://acme/nobody",), LATER))
    assert (await gate.admit("GetServerInfo", nobody_s)).tenant == NO_TENANT


async def test_where_nobody_is_asked_nobody_is_a_stranger() -> None:
    gate = Gate(Authenticator(FailedAttempts(3, lambda _: None)), public_info=True)
    assert await gate.admit("GetServerInfo", NOTHING) == ANONYMOUS
