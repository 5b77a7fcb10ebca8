"""An index that finds the items of a cluster of failures."""

from __future__ import annotations

import sqlalchemy as sa

from imagebatch_server.store.migrations.indexes import create_index_concurrently

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    clustered = sa.text("cluster_id IS NOT NULL")
    create_index_concurrently(
        "outcomes_cluster_id",
        "outcomes",
        ["tenant", "batch_id", "cluster_id", "item_index"],
        sqlite_where=clustered,
        postgresql_where=clustered,
    )
