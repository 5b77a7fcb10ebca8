"""Every query that may meet a large table goes by the index that was made for it.

PostgreSQL is asked not to read whole tables, as it would with the few rows of a test.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, Executable, event
from tests.integration.ports.values import NOON, all_successful, made, record
from tests.unit.batches.samples import allowing
from tests.unit.batches.samples import batch as sample

from imagebatch.v1.enums import BatchStatus, ItemErrorCode
from imagebatch_server.batches.model import BatchFilter, ItemFilter
from imagebatch_server.store import (
    batches,
    failure_clusters,
    insert_items,
    item_ids,
    items,
    listing,
    notifications,
    object_rows,
    removal,
    results,
    retry,
    search,
    staging,
    submit,
    tenant_removal,
    tenant_rows,
    usage,
)
from imagebatch_server.store.batches import SqlBatchStore
from imagebatch_server.store.database import Database
from imagebatch_server.store.migrate import migrate
from imagebatch_server.store.outcomes import SqlOutcomeStore

KEY = {"of_tenant": "one", "of_batch_id": "b"}
RANGE = {"first": 1, "last": 2}
INDEXES = {"indexes": [1, 3]}
FAILED = {"statuses": ["failed"]}
SUCCESS = {"statuses": ["success"]}
KEYS = {"object_keys": ["a", "b"]}
TENANT = {"of_tenant": "one"}
SOME = {**TENANT, "most": 9}
CLUSTER = {**KEY, "of_cluster": "c"}
REST = ItemErrorCode.FETCH_FAILED

QUERIES: list[tuple[Executable, dict[str, Any], str]] = [
    (tenant_rows._COUNT_RUNNING.statement, KEY, "batches_running"),
    (tenant_rows._COUNT_WAITING.statement, TENANT, "batches_running"),
    (tenant_rows._TENANTS_OF, KEYS, "objects_pkey"),
    (tenant_removal._STOP, TENANT, "batches_running"),
    (tenant_removal._HIDE, SOME, "batches_pkey"),
    (tenant_removal._OBJECTS, SOME, "objects_by_content"),
    (tenant_removal._REMOVE_OBJECTS, KEYS, "objects_pkey"),
    (tenant_removal._REMOVE_USAGE, TENANT, "usage_pkey"),
    (usage._READ, {**TENANT, "day_from": NOON.date(), "day_before": NOON.date()}, "usage_pkey"),
    (submit._OF_REQUEST, {**KEY, "of_request_id": "r"}, "batches_request_id"),
    (batches._RUNNING, {}, "batches_running"),
    (batches._TAKE_OVER["sqlite"], {"new_owner": "two", "operations": ["describe"]}, "batches_running"),
    (batches._OWNED, {"of_owner": "two"}, "batches_running"),
    (removal._NEXT, {}, "batches_discarded"),
    (removal._EXPIRE, {"before": NOON, "most": 3}, "batches_completed"),
    (removal._REMOVE_FROM[0], {**KEY, **RANGE}, "outcomes_pkey"),
    (removal._REMOVE_FROM[1], {**KEY, **RANGE}, "items_pkey"),
    (listing._WITH_LABEL, {"of_tenant": "one", "of_key": "k", "of_value": "v", "most": 9}, "batch_labels_by_value"),
    (results._ITEMS.range, {**KEY, **RANGE}, "items_pkey"),
    (results._OUTCOMES.range, {**KEY, **RANGE}, "outcomes_pkey"),
    (items._COUNT, {**KEY, **RANGE}, "outcomes_pkey"),
    (items._COUNT_STATUSES.of(["success"]), {**KEY, **RANGE, **SUCCESS}, "outcomes_pkey"),
    (items._COUNT_STATUSES.of(["failed"]), {**KEY, **RANGE, **FAILED}, "outcomes_unsuccessful"),
    (items._PRESENT, {**KEY, **RANGE}, "outcomes_pkey"),
    (items._PRESENT_STATUSES.of(["failed"]), {**KEY, **RANGE, **FAILED}, "outcomes_unsuccessful"),
    (items._RECORDED.of(["success"]), {**KEY, **SUCCESS, "skipped": 0, "most": 9}, "outcomes_pkey"),
    (items._RECORDED.of(["failed"]), {**KEY, **FAILED, "skipped": 0, "most": 9}, "outcomes_unsuccessful"),
    (results._AFTER, {**KEY, "after": 3, "most": 9}, "outcomes_sequence"),
    (item_ids._OWN_IDS, {**KEY, "item_ids": ["a", "b"]}, "items_item_id"),
    (staging._OWN_IDS, {**KEY, "item_ids": ["a", "b"]}, "items_item_id"),
    (failure_clusters._KNOWN, {**KEY, "cluster_ids": ["c", "d"]}, "failure_clusters_pkey"),
    (failure_clusters._NUMBER, KEY, "failure_clusters_pkey"),
    (failure_clusters._LISTED, KEY, "failure_clusters_pkey"),
    (failure_clusters._LEFT, KEY, "outcomes_cluster_id"),
    (failure_clusters._REMOVE, CLUSTER, "failure_clusters_pkey"),
    (failure_clusters._SET, {**CLUSTER, "now": 1, "first": NOON, "last": NOON}, "failure_clusters_pkey"),
    (failure_clusters._SAMPLE, {**CLUSTER, "most": 9}, "outcomes_cluster_id"),
    (failure_clusters._SAMPLE_OF_REST[REST], {**KEY, "most": 9}, "outcomes_unsuccessful"),
    (notifications._ARE_DUE, {"now": NOON}, "notifications_due"),
    (notifications._CLAIM, {"now": NOON, "until": NOON, "busy_hosts": ["a"], "most": 9}, "notifications_due"),
    (notifications._LAST, KEY, "notifications_pkey"),
    (retry._REMEMBERED, {**KEY, "of_request_id": "r"}, "retries_pkey"),
    (retry._FORGET, {**KEY, "before": NOON}, "retries_pkey"),
    (insert_items._FIRST_WITH, {**KEY, "content_keys": [b"a"]}, "items_content_key"),
    (insert_items._UPLOADS, {**KEY, **KEYS}, "objects_pkey"),
    (object_rows._OLD, {"after_key": "a", "before": NOON}, "objects_pkey"),
    (object_rows._OF_ANY_TENANT, KEYS, "objects_pkey"),
    (object_rows._KEYS, {"after_key": "a", "most": 3}, "objects_pkey"),
    (object_rows._OF_CONTENT, {**TENANT, "of_sha256": "a", "of_content_type": "image/png"}, "objects_by_content"),
    (object_rows._DIGESTS, {**TENANT, **KEYS}, "objects_pkey"),
    (object_rows._FORGET_REMOVED, KEYS, "removed_objects_pkey"),
    (object_rows._LOCK, {**KEYS, "before": NOON}, "objects_pkey"),
    (object_rows._REFERENCES[0], KEYS, "items_object_key"),
    (object_rows._REFERENCES[1], KEYS, "outcomes_stored_object_key"),
    (object_rows._REFERENCES[2], KEYS, "outcomes_preview_object_key"),
]


FOUND: list[tuple[str, Callable[[Connection], object], str]] = [
    ("a code", lambda found: searched(found, ItemFilter(error_codes=(REST,))), "outcomes_unsuccessful"),
    ("a text", lambda found: searched(found, ItemFilter(text="a")), "outcomes_pkey"),
    ("a text of failures", lambda found: searched(found, ItemFilter(text="a"), "failed"), "outcomes_unsuccessful"),
    ("a code and a text", lambda found: searched(found, ItemFilter(error_codes=(REST,), text="a")),
     "outcomes_unsuccessful"),
    ("batches", lambda found: listed(found, BatchFilter()), "batches_pkey"),
    ("a batch's status", lambda found: listed(found, BatchFilter(statuses=(BatchStatus.FAILED,))), "batches_pkey"),
]  # fmt: skip


def searched(connection: Connection, match: ItemFilter, *statuses: str) -> object:
    key, among = ("one", "b"), statuses or ("success", "failed")
    if match.text is not None:
        return search.indexes_with_text(connection, key, sample(), match, among, 5)
    return search.found_indexes(connection, key, sample(), match, among, 5, 9)


def listed(connection: Connection, match: BatchFilter) -> object:
    return listing.list_batches(connection, "one", match, 9, None)


class _Compiled(Exception):
    """What SQLAlchemy was about to run."""


def plan(connection: Connection, query: Executable, values: dict[str, Any]) -> str:
    return plan_of(connection, lambda connection: connection.execute(query, values))


def plan_of(connection: Connection, work: Callable[[Connection], object]) -> str:
    """Ask how the first statement of `work` would be run."""

    def stop(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        raise _Compiled(statement, parameters)

    connection.exec_driver_sql("SELECT 1")  # begins the transaction, which takes a statement too
    event.listen(connection, "before_cursor_execute", stop)
    with pytest.raises(_Compiled) as compiled:
        work(connection)
    event.remove(connection, "before_cursor_execute", stop)
    statement, parameters = compiled.value.args
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        connection.exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        explained = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
    else:
        explained = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    return "\n".join(str(row[-1]) for row in explained)


@pytest.mark.parametrize(("query", "values", "index"), QUERIES)
async def test_queries_use_their_index(
    database: Database, url: str, query: Executable, values: dict[str, Any], index: str
) -> None:
    found = await database.write(lambda connection: plan(connection, query, values))
    expected = f"sqlite_autoindex_{index.removesuffix('_pkey')}_1" if url.startswith("sqlite") else index
    assert (expected if index.endswith("_pkey") else index) in found, found
    assert "Seq Scan" not in found


@pytest.mark.parametrize(("work", "index"), [found[1:] for found in FOUND], ids=[found[0] for found in FOUND])
async def test_what_is_looked_for_is_looked_up(
    database: Database, url: str, work: Callable[[Connection], object], index: str
) -> None:
    found = await database.write(lambda connection: plan_of(connection, work))
    expected = f"sqlite_autoindex_{index.removesuffix('_pkey')}_1" if url.startswith("sqlite") else index
    assert (expected if index.endswith("_pkey") else index) in found, found
    assert "Seq Scan" not in found


@pytest.mark.parametrize("query", [results._ITEMS.list, results._OUTCOMES.list], ids=["items", "outcomes"])
async def test_listed_indexes_are_looked_up_and_not_looked_for(database: Database, query: Mapping[str, Any]) -> None:
    def planned(connection: Connection) -> str:
        return plan(connection, query[connection.dialect.name], {**KEY, **INDEXES})

    found = await database.write(planned)
    assert "item_index=" in found.replace(" ", ""), found  # a part of the index's condition, and no filter
    assert "Filter" not in found


async def test_reading_on_from_far_into_a_batch_takes_no_more_steps(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    await migrate(database)
    batches_store = SqlBatchStore(database, owner="one", quotas=allowing(1))
    batch = await made(batches_store, 2_000)
    await record(SqlOutcomeStore(database, max_read_bytes=1), batch, *all_successful(batch))

    def steps(connection: Connection, sequence: int) -> int:
        counted = itertools.count()
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.set_progress_handler(lambda: next(counted) and None, 1)
        found = results.after(connection, (batch.tenant, batch.batch_id), sequence, 10, 1_000_000)
        driver_connection.set_progress_handler(None, 0)
        assert [result.sequence for result in found] == list(range(sequence + 1, sequence + 11))
        return next(counted)

    near = await database.read(lambda connection: steps(connection, 10))
    far = await database.read(lambda connection: steps(connection, 1_900))
    database.close()
    assert near > 100
    assert far < 1.1 * near
