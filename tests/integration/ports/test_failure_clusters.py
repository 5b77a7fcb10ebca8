"""The ports' clusters of failures: counted with the outcomes, listed, and taken out of by a retry."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
from sqlalchemy import Connection, delete, select, update
from tests.integration.ports.values import (
    NOON,
    TENANT,
    at,
    commit,
    failed,
    made,
    record,
    skipped,
    success,
)

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches.errors import BatchNotFound
from imagebatch_server.batches.failure_clusters import rest_of
from imagebatch_server.batches.model import Batch, ClusterPosition, FailureCluster, RetryRequest
from imagebatch_server.store import failure_clusters as queries
from imagebatch_server.store import tables
from imagebatch_server.store.audit import audit
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.outcomes import SqlOutcomeStore

FETCH_FAILED, TIMEOUT = ItemErrorCode.FETCH_FAILED, ItemErrorCode.TIMEOUT
HOST = "images.example.com"


async def listed(batches: SqlBatchStore, batch: Batch) -> Sequence[FailureCluster]:
    return await batches.failure_clusters(TENANT, batch.batch_id, 100, None)


def told(clusters: Sequence[FailureCluster]) -> list[tuple[str, str, int]]:
    return [(cluster.error_code.value, cluster.message, cluster.count) for cluster in clusters]


async def audited(database: Database, batch: Batch) -> list[str]:
    return await database.read(partial(audit, tenant=TENANT, batch_id=batch.batch_id))


async def test_failures_are_counted_by_what_they_have_in_common(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 20)
    await record(outcomes, batch, *[failed(n, TIMEOUT, f"took longer than {n} s") for n in range(1, 4)], success(0))
    await record(outcomes, batch, failed(4, TIMEOUT, "took longer than 99 s"), skipped(5), seconds=7)
    await record(outcomes, batch, *[failed(n, message=f"'{n}.jpg' is gone") for n in range(6, 18)], seconds=9)
    await record(outcomes, batch, failed(18), success(19), seconds=11)
    largest, second, third = await listed(batches, batch)
    assert (largest.error_code, largest.host, largest.format, largest.message) == (FETCH_FAILED, HOST, "", "* is gone")
    assert (largest.count, largest.first_at, largest.last_at) == (12, at(9), at(9))
    ids = [f"own-{n}" if n % 3 == 0 else f"{batch.batch_id}-{n}" for n in range(6, 16)]
    assert list(largest.item_ids) == ids, "ten, of the lowest indexes"
    assert (second.message, second.count, second.first_at, second.last_at) == (
        "took longer than * s",
        4,
        at(1),
        at(7),
    )
    assert (third.count, list(third.item_ids)) == (1, ["own-18"])
    assert await audited(database, batch) == []


async def test_pages_go_on_behind_a_cluster(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 40)
    words = ["one", "two", "two", *["three"] * 3, *["four"] * 4, "five", "six"]
    await record(outcomes, batch, *[failed(n, message=word) for n, word in enumerate(words)])
    whole = await listed(batches, batch)
    assert [cluster.count for cluster in whole] == [4, 3, 2, 1, 1, 1]
    pages: list[FailureCluster] = []
    while True:
        after = ClusterPosition(pages[-1].count, pages[-1].cluster_id) if pages else None
        page = await batches.failure_clusters(TENANT, batch.batch_id, 2, after)
        if not page:
            break
        pages += page
    assert pages == whole


async def test_a_batch_without_failures_has_none_and_an_unknown_one_is_not_found(
    batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 2)
    assert await listed(batches, batch) == []
    await record(outcomes, batch, success(0), skipped(1))
    assert await listed(batches, batch) == []
    with pytest.raises(BatchNotFound):
        await batches.failure_clusters("other", batch.batch_id, 1, None)


async def test_a_retry_takes_a_clusters_items_out_and_they_may_fail_into_it_again(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 8)
    slow = [failed(n, TIMEOUT, f"longer than {n} s") for n in range(4)]
    ended = await record(outcomes, batch, *slow, failed(4), failed(5, message="gone"), success(6), success(7))
    slow_ones, *_ = clusters = await listed(batches, batch)
    assert [cluster.count for cluster in clusters] == [4, 1, 1]
    again, reopened = await batches.retry(
        TENANT, batch.batch_id, RetryRequest(cluster_id=slow_ones.cluster_id, item_ids=["own-0", "own-3"]), NOON
    )
    assert reopened
    left = [item.item_index for item in await batches.pending_items(TENANT, batch.batch_id, -1, 100)]
    assert left == [0, 3]
    assert [cluster.count for cluster in await listed(batches, batch)] == [2, 1, 1]
    assert await audited(database, batch) == []
    # What was recorded at the epoch before the retry counts nowhere.
    assert list(await outcomes.record([commit(ended, [failed(0)])], at(3), recheck=False)) == [None]
    await record(outcomes, again, failed(0, TIMEOUT, "longer than 8 s"), success(3), seconds=5)
    now = {cluster.cluster_id: cluster for cluster in await listed(batches, batch)}[slow_ones.cluster_id]
    assert (now.count, now.first_at, now.last_at) == (3, at(1), at(5))
    _, reopened = await batches.retry(TENANT, batch.batch_id, RetryRequest(cluster_id=slow_ones.cluster_id), NOON)
    assert reopened
    assert sorted(told(await listed(batches, batch))) == [
        ("fetch_failed", "*; check the URL", 1),
        ("fetch_failed", "gone", 1),
    ]
    assert await audited(database, batch) == []


async def test_a_cluster_that_is_none_reopens_nothing(batches: SqlBatchStore, outcomes: SqlOutcomeStore) -> None:
    batch = await made(batches, 1)
    ended = await record(outcomes, batch, failed(0))
    for cluster_id in ("nobody's", rest_of(FETCH_FAILED).cluster_id, "0" * 16):
        assert await batches.retry(TENANT, batch.batch_id, RetryRequest(cluster_id=cluster_id), NOON) == (ended, False)


async def test_past_so_many_clusters_the_rest_is_counted_by_code(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_CLUSTERS", 2)
    batch = await made(batches, 12)
    await record(outcomes, batch, failed(0, message="a"))
    await record(outcomes, batch, *[failed(n, message=chr(97 + n)) for n in range(1, 6)])
    await record(outcomes, batch, failed(6, message="a"), failed(7, TIMEOUT, "slow"), failed(8, message="z"))
    clusters = await listed(batches, batch)
    assert told(clusters[:2]) == [("fetch_failed", "*", 5), ("fetch_failed", "a", 2)]
    assert sorted(told(clusters[2:])) == [("fetch_failed", "b", 1), ("timeout", "*", 1)]
    assert clusters[0].host == ""
    assert list(clusters[0].item_ids) == [f"{batch.batch_id}-2", "own-3", *[f"{batch.batch_id}-{n}" for n in (4, 5, 8)]]
    assert await audited(database, batch) == []
    await record(outcomes, batch, *[success(n) for n in range(9, 12)])
    await batches.retry(TENANT, batch.batch_id, RetryRequest(cluster_id=clusters[0].cluster_id), NOON)
    left = [item.item_index for item in await batches.pending_items(TENANT, batch.batch_id, -1, 100)]
    assert left == [2, 3, 4, 5, 8]
    assert await audited(database, batch) == []


async def test_what_an_earlier_release_recorded_is_counted_by_code(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 5)
    ended = await record(outcomes, batch, failed(0), failed(1), failed(2, TIMEOUT, "x"), success(3), success(4))

    def as_before(connection: Connection) -> None:
        connection.execute(update(tables.outcomes).values(cluster_id=None))
        connection.execute(delete(tables.failure_clusters))

    await database.write(as_before)
    first, second = await listed(batches, batch)
    assert (first.error_code, first.message, first.count, first.first_at) == (FETCH_FAILED, "*", 2, None)
    assert list(first.item_ids) == ["own-0", f"{batch.batch_id}-1"]
    assert (second.error_code, second.count) == (TIMEOUT, 1)
    again, _ = await batches.retry(TENANT, batch.batch_id, RetryRequest(cluster_id=first.cluster_id), NOON)
    assert told(await listed(batches, batch)) == [("timeout", "*", 1)]
    await record(outcomes, again, failed(0, TIMEOUT, "y"), failed(1))
    assert {(one.error_code, one.message, one.count) for one in await listed(batches, batch)} == {
        (TIMEOUT, "*", 1),
        (TIMEOUT, "y", 1),
        (FETCH_FAILED, "*; check the URL", 1),
    }
    assert ended.status is BatchStatus.PARTIALLY_COMPLETED


async def test_a_commit_whose_answer_was_lost_is_counted_once(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch = await made(batches, 4)
    first = commit(batch, [failed(0), failed(1)])
    await outcomes.record([first], at(1), recheck=False)
    await outcomes.record([first], at(2), recheck=True)
    await outcomes.record([commit(batch, [failed(1), failed(2)])], at(3), recheck=True)
    (cluster,) = await listed(batches, batch)
    assert (cluster.count, cluster.first_at, cluster.last_at) == (3, at(1), at(3))
    assert await audited(database, batch) == []


async def test_clusters_go_with_their_batch(
    database: Database, batches: SqlBatchStore, outcomes: SqlOutcomeStore
) -> None:
    batch, other = await made(batches, 1), await made(batches, 1)
    await record(outcomes, batch, failed(0))
    await record(outcomes, other, failed(0))
    await batches.hide(TENANT, batch.batch_id)
    while await batches.remove_hidden(10):
        pass
    ids = select(tables.failure_clusters.c.batch_id)
    assert await database.read(lambda connection: connection.execute(ids).scalars().all()) == [other.batch_id]
