"""The span of a batch's submit, so that its items belong to that trace whenever and wherever they run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("batches", sa.Column("traceparent", sa.String(), nullable=True))
