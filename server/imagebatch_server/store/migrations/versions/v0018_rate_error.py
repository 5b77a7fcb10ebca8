"""How sure the rate of a batch is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("batches", sa.Column("rate_error", sa.Float(), nullable=True))
