"""Clusters of a batch's failures: counted with the outcomes, listed, and counted anew when a retry takes some out.

Whoever writes here has locked the batch's row before, so that no two transactions count the same cluster at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, bindparam, delete, func, or_, select, update

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches import lifecycle
from imagebatch_server.batches.failure_clusters import MOST_CLUSTERS, ClusterKey, rest_of
from imagebatch_server.batches.model import Batch, ClusterPosition, FailureCluster
from imagebatch_server.store.batch_row import read_batch
from imagebatch_server.store.dialects import INSERTS
from imagebatch_server.store.items import items_at
from imagebatch_server.store.keys import BatchKey, of_batch, parameters
from imagebatch_server.store.tables import FAILURE_CODES, UNSUCCESSFUL, failure_clusters, outcomes

SAMPLED_ITEMS = 10
"""Ids that are listed of a cluster's items."""


def count_failures(
    connection: Connection, key: BatchKey, failures: Mapping[int, ClusterKey], indexes: Collection[int], at: datetime
) -> Mapping[int, str]:
    """Count the failures of these indexes in their clusters; answers each one's cluster_id."""
    fresh = {index: cluster for index, cluster in failures.items() if index in indexes}
    new = dict.fromkeys(fresh.values())
    if not new:
        return {}
    ids = [cluster.cluster_id for cluster in new]
    known = set(connection.execute(_KNOWN, {**parameters(key), "cluster_ids": ids}).scalars())
    unknown = [cluster for cluster in new if cluster.cluster_id not in known]
    if unknown:
        room = max(MOST_CLUSTERS - connection.execute(_NUMBER, parameters(key)).scalar_one(), 0)
        rest = {cluster: rest_of(cluster.error_code) for cluster in unknown[room:]}
        fresh = {index: rest.get(cluster, cluster) for index, cluster in fresh.items()}
    values = [_values(key, cluster, count, at) for cluster, count in sorted(Counter(fresh.values()).items())]
    connection.execute(_ADD[connection.dialect.name], values)
    return {index: cluster.cluster_id for index, cluster in fresh.items()}


def count_again(connection: Connection, key: BatchKey) -> None:
    """Let the clusters be what the outcomes say: some have gone."""
    left = {row.cluster_id: row for row in connection.execute(_LEFT, parameters(key))}
    listed = connection.execute(_LISTED, parameters(key)).all()
    gone = [{**parameters(key), "of_cluster": row.cluster_id} for row in listed if row.cluster_id not in left]
    changed = [
        {**parameters(key), "of_cluster": row.cluster_id, "now": now.number, "first": now.first_at, "last": now.last_at}
        for row in listed
        if (now := left.get(row.cluster_id)) is not None and now.number != row.number
    ]
    if gone:
        connection.execute(_REMOVE, gone)
    if changed:
        connection.execute(_SET, changed)


def in_cluster(cluster_id: str) -> ColumnElement[bool]:
    """Make the condition that an outcome belongs to a cluster, those of earlier releases to the rest of their codes."""
    code = _CODE_OF_REST.get(cluster_id)
    condition = outcomes.c.cluster_id == cluster_id
    return condition if code is None else or_(condition, _kept_in_none(code))


def list_clusters(
    connection: Connection, key: BatchKey, limit: int, after: ClusterPosition | None
) -> Sequence[FailureCluster]:
    """Do what the port's `failure_clusters` says."""
    batch = read_batch(connection, key)
    clusters = [_to_cluster(row) for row in connection.execute(_LISTED, parameters(key)).all()]
    clusters = sorted(_with_earlier_ones(batch, clusters), key=_place)
    if after is not None:
        clusters = [cluster for cluster in clusters if _place(cluster) > (-after.size, after.cluster_id)]
    return _with_items(connection, key, clusters[:limit])


def _with_earlier_ones(batch: Batch, clusters: Sequence[FailureCluster]) -> Sequence[FailureCluster]:
    """Add what was recorded by a release that kept no clusters: failures that are in none."""
    counted: Counter[str] = Counter()
    for cluster in clusters:
        counted[cluster.error_code.value] += cluster.count
    by_id = {cluster.cluster_id: cluster for cluster in clusters}
    for code, failed in batch.failure_counts.items():
        if failed > counted[code]:
            rest = rest_of(ItemErrorCode(code))
            known = by_id.get(rest.cluster_id)
            count = failed - counted[code] + (known.count if known is not None else 0)
            by_id[rest.cluster_id] = FailureCluster(*rest, count=count, first_at=None, last_at=None)
    return list(by_id.values())


def _with_items(connection: Connection, key: BatchKey, clusters: Sequence[FailureCluster]) -> Sequence[FailureCluster]:
    sampled: dict[str, list[int]] = {}
    for cluster in clusters:
        query = _SAMPLE if cluster.first_at is not None else _SAMPLE_OF_REST[cluster.error_code]
        values = {**parameters(key), "of_cluster": cluster.cluster_id, "most": SAMPLED_ITEMS}
        sampled[cluster.cluster_id] = list(connection.execute(query, values).scalars())
    indexes = sorted(index for some in sampled.values() for index in some)
    ids = {item.item_index: lifecycle.item_id(key[1], item) for item in items_at(connection, key, indexes)}
    return [
        replace(cluster, item_ids=tuple(ids[index] for index in sampled[cluster.cluster_id])) for cluster in clusters
    ]


def _place(cluster: FailureCluster) -> tuple[int, str]:
    return -cluster.count, cluster.cluster_id


def _to_cluster(row: Row[Any]) -> FailureCluster:
    return FailureCluster(
        cluster_id=row.cluster_id,
        error_code=ItemErrorCode(row.error_code),
        host=row.host,
        format=row.format,
        message=row.message,
        count=row.number,
        first_at=row.first_at,
        last_at=row.last_at,
    )


def _values(key: BatchKey, cluster: ClusterKey, count: int, at: datetime) -> dict[str, Any]:
    return {
        "tenant": key[0],
        "batch_id": key[1],
        "cluster_id": cluster.cluster_id,
        "error_code": cluster.error_code.value,
        "host": cluster.host,
        "format": cluster.format,
        "message": cluster.message,
        "count": count,
        "first_at": at,
        "last_at": at,
    }


def _kept_in_none(code: ItemErrorCode) -> ColumnElement[bool]:
    return and_(
        outcomes.c.status == BatchItemStatus.FAILED.value,
        outcomes.c.error_code == code.value,
        outcomes.c.cluster_id.is_(None),
    )


_CODE_OF_REST = {rest_of(code).cluster_id: code for code in FAILURE_CODES}
_OF_CLUSTER = failure_clusters.c.cluster_id == bindparam("of_cluster")
_KNOWN = select(failure_clusters.c.cluster_id).where(
    of_batch(failure_clusters), failure_clusters.c.cluster_id.in_(bindparam("cluster_ids", expanding=True))
)
_NUMBER = select(func.count()).select_from(failure_clusters).where(of_batch(failure_clusters))
_INSERT = {dialect: insert(failure_clusters) for dialect, insert in INSERTS.items()}
_ADD = {
    dialect: insert.on_conflict_do_update(
        index_elements=["tenant", "batch_id", "cluster_id"],
        set_={"count": failure_clusters.c["count"] + insert.excluded["count"], "last_at": insert.excluded["last_at"]},
    )
    for dialect, insert in _INSERT.items()
}
# `count` is also the name of what every tuple has.
_LISTED: Select[Any] = select(
    *[column for column in failure_clusters.columns if column.name not in ("tenant", "batch_id", "count")],
    failure_clusters.c["count"].label("number"),
).where(of_batch(failure_clusters))
_LEFT = (
    select(
        outcomes.c.cluster_id,
        func.count().label("number"),
        func.min(outcomes.c.completed_at).label("first_at"),
        func.max(outcomes.c.completed_at).label("last_at"),
    )
    .where(of_batch(outcomes), outcomes.c.cluster_id.is_not(None))
    .group_by(outcomes.c.cluster_id)
)
_REMOVE = delete(failure_clusters).where(of_batch(failure_clusters), _OF_CLUSTER)
_SET = (
    update(failure_clusters)
    .where(of_batch(failure_clusters), _OF_CLUSTER)
    .values({"count": bindparam("now"), "first_at": bindparam("first"), "last_at": bindparam("last")})
)
_ITEMS = (
    select(outcomes.c.item_index).where(of_batch(outcomes)).order_by(outcomes.c.item_index).limit(bindparam("most"))
)
_SAMPLE = _ITEMS.where(outcomes.c.cluster_id == bindparam("of_cluster"))
_SAMPLE_OF_REST = {code: _ITEMS.where(UNSUCCESSFUL, in_cluster(rest_of(code).cluster_id)) for code in FAILURE_CODES}
