"""kill -9 while a tenant is removed, at random moments: it goes on, leaves nothing, and touches nobody else's."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.logs import tracebacks
from tests.faults.stores import Store
from tests.integration.access.secured import Secured
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, blobs, eventually, item, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import running_server

from imagebatch.v1.batch_service_pb2 import DeleteTenantRequest
from imagebatch_server.access.principal import Role

MOMENTS_S = (0.1, 2.5, 2.5)
"""How long after the call, and after each start, the server is killed at the latest."""
BATCHES = 2
MANY, FEW = 2_500, 50
IMAGES = 10
TABLES = ("batches", "items", "outcomes", "objects", "usage", "batch_labels", "retries", "tenants")


def fill(raw: Raw, items: int) -> tuple[list[str], list[str]]:
    """Store what a tenant may have; answers its batches, of which the last one runs on, and its images."""
    keys = [raw.upload(pictures.drawn(number)).object_key for number in range(IMAGES)]
    its = [item(object_key=key) for key in keys]
    more = [item(object_key=keys[0])] * (items - len(its))
    batches = [raw.submit([*its, *more], "noop", labels={"a": "b"}).batch_id for _ in range(BATCHES - 1)]
    for batch_id in batches:
        raw.watch_to_end(batch_id)
    slow = [item(object_key=key, metadata={"do": "sleep", "seconds": 0.2}) for key in keys]
    return [*batches, raw.submit(slow, labels={"a": "b"}).batch_id], keys


def rows(store: Store, tenant: str) -> dict[str, int]:
    count = "SELECT count(*) FROM {} WHERE tenant = '{}'"
    return store.look(
        lambda connection: {
            name: connection.exec_driver_sql(count.format(name, tenant)).scalar_one() for name in TABLES
        }
    )


@pytest.mark.timeout(120)
def test_a_tenant_is_removed_through_kills(store: Store, tmp_path: Path, seed: int, tell: Tell) -> None:
    chance = random.Random(seed)
    made = Secured(tmp_path)
    roles = {"gone": Role.WRITER, "stays": Role.WRITER, "ops": Role.OPERATOR}
    tokens = {name: made.grant(name, name, role) for name, role in roles.items()}
    settings = {**store.settings, **made.settings, "tidy_every_s": "0.2"}
    with running_server(store.data_dir, settings, OPERATIONS) as server:
        made.server = server
        gone, stays, operator = (made.client(tokens[name]) for name in roles)
        theirs, kept_keys = fill(stays, FEW)
        kept = blobs(server)
        deleted, _ = fill(gone, MANY)
        before, most = rows(store, "stays"), sum(rows(store, "gone").values())
        operator.batches.DeleteTenant(DeleteTenantRequest(tenant="gone"))
        left = []
        for longest_s in MOMENTS_S:
            threading.Event().wait(chance.uniform(0, longest_s))
            server.kill()
            left.append(sum(rows(store, "gone").values()))
            server.spawn()
        server.kill()
        server.start()
        for batch_id in deleted:
            assert refused(lambda batch_id=batch_id: gone.status(batch_id)).reason == "BATCH_NOT_FOUND"  # type: ignore[misc]
        eventually(lambda: not any(rows(store, "gone").values()))
        eventually(lambda: blobs(server) <= kept)
        assert stays.watch_to_end(theirs[-1]).statuses[-1].successful_items == IMAGES
        assert [stays.status(batch_id).successful_items for batch_id in theirs] == [FEW] * (BATCHES - 1) + [IMAGES]
        after = rows(store, "stays")
        assert all(after[name] == before[name] for name in ("batches", "items", "objects", "batch_labels"))
        assert stays.download(kept_keys[0])[1] == pictures.drawn(0)
        assert tracebacks(server) == []
        made.close()
    tell(f"{len(left)} kills while {most} rows of a tenant were removed; {left} were left at each")
