"""What tenants have of each other: fair shares, and nothing of one that was deleted."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from tests.integration.access.secured import Secured
from tests.integration.access.test_callers import admitted, granted
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, blobs, eventually, item, refusal, refused
from tests.operations_for_tests import OPERATIONS
from tests.server import running_server

from imagebatch.v1 import types_pb2
from imagebatch.v1.batch_service_pb2 import (
    DeleteTenantRequest,
    GetServerInfoRequest,
    GetUsageRequest,
    ListBatchesRequest,
)
from imagebatch_server.access.principal import Role


def slow(key: str, seconds: float) -> types_pb2.BatchImageInput:
    return item(object_key=key, metadata={"do": "sleep", "seconds": seconds})


def done(raw: Raw) -> int:
    """Count the items of all batches that have an outcome."""
    return sum(batch.processed_items for batch in raw.batches.ListBatches(ListBatchesRequest(page_size=1_000)).batches)


def test_many_batches_of_one_tenant_hold_up_few_items_of_another_by_little(secured: Secured) -> None:
    many = granted(secured, "many", tenant="many")
    few = granted(secured, "few", tenant="few")
    busy_key, key = (raw.upload(pictures.drawn()).object_key for raw in (many, few))
    few.watch_to_end(few.submit([slow(key, 0.0)]).batch_id)  # which loads the operation
    running = [many.submit([slow(busy_key, 0.05)] * 3).batch_id for _ in range(100)]
    eventually(lambda: done(many) > 10)
    status = few.watch_to_end(few.submit([slow(key, 0.01)] * 10).batch_id).statuses[-1]
    began, ended = status.started_at.ToNanoseconds(), status.completed_at.ToNanoseconds()
    ends = [result.completed_at for batch_id in running for result in many.page(batch_id).results if result.sequence]
    # Few of the 300 that were there before; how few is counted by batches/test_shares.py, where no machine is busy.
    assert sum(began < end.ToNanoseconds() < ended for end in ends) <= 25
    assert len(ends) < 3 * len(running)
    operator = granted(secured, "ends-many", Role.OPERATOR, tenant="ops")
    operator.batches.DeleteTenant(DeleteTenantRequest(tenant="many"))


def test_a_deleted_tenant_is_unknown_at_once_and_gone_soon(secured: Secured) -> None:
    operator = granted(secured, "operates", Role.OPERATOR, tenant="ops")
    gone, other = granted(secured, "goes", tenant="gone"), granted(secured, "stays", tenant="stays")
    theirs = other.upload(pictures.drawn()).object_key
    eventually(lambda: blobs(secured.server))
    kept = blobs(secured.server)
    key = gone.upload(pictures.drawn()).object_key
    ended = gone.submit([item(object_key=key)], "thumbnail").batch_id
    gone.watch_to_end(ended)
    running = gone.submit([slow(key, 1.0)] * 100).batch_id
    watch = gone.watch(running)
    next(watch)

    operator.batches.DeleteTenant(DeleteTenantRequest(tenant="gone"))
    with pytest.raises(grpc.RpcError) as cut:
        list(watch)
    assert refusal(cut.value).reason == "BATCH_NOT_FOUND"
    for batch_id in (ended, running):
        assert refused(lambda batch_id=batch_id: gone.status(batch_id)).reason == "BATCH_NOT_FOUND"  # type: ignore[misc]
    assert refused(lambda: gone.download(key)).reason == "OBJECT_NOT_FOUND"
    assert not gone.batches.ListBatches(ListBatchesRequest()).batches
    assert not gone.batches.GetUsage(GetUsageRequest()).usage

    eventually(lambda: '"tenant": "gone", "event": "janitor.tenant_removed"' in secured.server.log)
    eventually(lambda: blobs(secured.server) <= kept)
    assert other.download(theirs)[1] == pictures.drawn()
    again = gone.upload(pictures.drawn()).object_key  # whoever still has a token begins anew
    assert gone.watch_to_end(gone.submit([item(object_key=again)], "noop").batch_id).statuses[-1].successful_items == 1


def test_a_tenants_name_has_its_form(secured: Secured) -> None:
    operator = granted(secured, "names", Role.OPERATOR, tenant="ops")
    for name in ("", "_a", "-a", "A", "ä", "a.b", "x" * 64):
        found = refused(lambda name=name: operator.batches.DeleteTenant(DeleteTenantRequest(tenant=name)))  # type: ignore[misc]
        assert (found.reason, list(found.violations)) == ("INVALID_REQUEST", ["tenant"])


def test_what_one_tenant_may_have_is_told_and_changes_while_the_server_runs(tmp_path: Path) -> None:
    made = Secured(tmp_path)
    tenants = tmp_path / "tenants.toml"
    tenants.write_text("[slow]\nmax_requests_per_s = 0.001\nmax_requests_burst = 2\n")
    with running_server(tmp_path / "data", {**made.settings, "tenants_file": str(tenants)}, OPERATIONS) as server:
        made.server = server
        raw = granted(made, "calls", tenant="slow")
        limits = raw.batches.GetServerInfo(GetServerInfoRequest()).limits
        assert (limits.max_requests_per_s, limits.max_requests_burst) == (0.001, 2)
        found = refused(lambda: raw.batches.ListBatches(ListBatchesRequest()))
        assert (found.reason, found.metadata["limit"]) == ("LIMIT_EXCEEDED", "max_requests_per_s")
        assert found.retry_delay_s is not None
        assert 0 < found.retry_delay_s <= 1_000
        tenants.write_text("[slow]\nmax_requests_per_s = 1000\n")
        admitted(raw)
        made.close()


def test_a_server_that_is_killed_goes_on_removing(tmp_path: Path) -> None:
    made = Secured(tmp_path)
    with running_server(tmp_path / "data", made.settings, OPERATIONS) as server:
        made.server = server
        operator = granted(made, "operates", Role.OPERATOR, tenant="ops")
        gone = granted(made, "goes", tenant="gone")
        batches = [gone.submit([item(object_key="k")] * 2_000, "noop").batch_id for _ in range(3)]
        for batch_id in batches[:2]:
            gone.watch_to_end(batch_id)
        operator.batches.DeleteTenant(DeleteTenantRequest(tenant="gone"))
        server.kill()
        server.start()
        again = granted(made, "looks", tenant="gone")
        eventually(lambda: '"tenant": "gone", "event": "janitor.tenant_removed"' in server.log)
        for batch_id in batches:
            assert refused(lambda batch_id=batch_id: again.status(batch_id)).reason == "BATCH_NOT_FOUND"  # type: ignore[misc]
        made.close()
