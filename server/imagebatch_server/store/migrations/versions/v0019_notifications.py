"""Who is told that a batch has ended. An older server would end one and tell nobody: it may not run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.add_column("batches", sa.Column("notify_url", sa.String(), nullable=True))
    op.create_table(
        "notifications",
        sa.Column("tenant", sa.String(), primary_key=True),
        sa.Column("batch_id", sa.String(), primary_key=True),
        sa.Column("last_sequence", sa.BigInteger(), primary_key=True),
        sa.Column("notify_url", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_http_status", sa.Integer(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
    )
    untold = sa.text("state = 'pending'")
    op.create_index("notifications_due", "notifications", ["next_at"], sqlite_where=untold, postgresql_where=untold)
    op.execute("UPDATE schema_bears SET oldest_revision = '0019'")
