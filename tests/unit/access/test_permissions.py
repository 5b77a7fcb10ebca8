"""Every rpc of the contract asks for a role, and roles hold what they are said to hold."""

from __future__ import annotations

import pytest

from imagebatch.v1 import batch_service_pb2, image_service_pb2
from imagebatch_server.access import permissions
from imagebatch_server.access.principal import Principal, Role
from imagebatch_server.batches.errors import PermissionDenied

RPCS = [
    method.name
    for file in (batch_service_pb2.DESCRIPTOR, image_service_pb2.DESCRIPTOR)
    for service in file.services_by_name.values()
    for method in service.methods
]


def having(*roles: Role) -> Principal:
    return Principal("acme", "ci", frozenset(roles))


def test_each_rpc_has_a_least_role_and_the_table_names_no_other() -> None:
    assert sorted(permissions.LEAST_ROLE) == sorted([*RPCS, permissions.METRICS, permissions.REFLECTION])


@pytest.mark.parametrize("rpc", RPCS)
def test_a_reader_changes_nothing(rpc: str) -> None:
    reads = rpc.startswith(("Get", "List", "Watch", "Download"))
    assert (permissions.LEAST_ROLE[rpc] is Role.READER) == reads


def test_a_role_may_what_those_before_it_may() -> None:
    for has in Role:
        for needs in Role:
            assert having(has).may(needs) == (list(Role).index(has) >= list(Role).index(needs))


def test_several_roles_are_the_highest_of_them() -> None:
    assert having(Role.READER, Role.OPERATOR).may(Role.WRITER)
    assert not having().may(Role.READER)


def test_a_refusal_names_the_rpc_the_role_and_the_caller() -> None:
    with pytest.raises(PermissionDenied, match="SubmitBatch needs the role writer, and ci has reader"):
        permissions.check(having(Role.READER), "SubmitBatch")
