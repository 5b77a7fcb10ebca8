"""When a batch was paused. A server that knows nothing of it would go on with the batch, so it may not run any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("batches", sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE schema_bears SET oldest_revision = '0010'")
