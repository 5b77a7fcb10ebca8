"""The servers that work on the database, each with its lease, and the oldest of them that the schema bears.

A later migration that servers of this revision can bear, because it only adds what may be missing, leaves
`oldest_revision` as it is; another one raises it to its own.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "servers",
        sa.Column("server_id", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("lock_number", sa.Integer(), nullable=False),
        sa.Column("operations", sa.JSON(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("waiting_items", sa.Integer(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("server_id"),
    )
    op.create_table(
        "schema_bears",
        sa.Column("oldest_revision", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("oldest_revision"),
    )
    op.execute("INSERT INTO schema_bears (oldest_revision) VALUES ('0009')")
