"""What a batch's items failed of. An older server would not count them out when they are retried: it may not run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


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
    op.execute("UPDATE schema_bears SET oldest_revision = '0012'")
