"""What a batch's items failed of. An older server would not count them out when they are retried: it may not run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "failure_clusters",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("batch_id", sa.String(), primary_key=True),
        sa.Column("cluster_id", sa.String(), primary_key=True),
        sa.Column("error_code", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("format", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.add_column("outcomes", sa.Column("cluster_id", sa.String(), nullable=True))
    clustered = sa.text("cluster_id IS NOT NULL")
    op.create_index(
        "outcomes_cluster_id",
        "outcomes",
        ["tenant", "batch_id", "cluster_id", "item_index"],
        sqlite_where=clustered,
        postgresql_where=clustered,
    )
    op.execute("UPDATE schema_bears SET oldest_revision = '0011'")
