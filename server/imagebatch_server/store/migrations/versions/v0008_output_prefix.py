"""Where a batch's result images go, if not to the service's own store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("batches", sa.Column("output_prefix", sa.String(), nullable=True))
