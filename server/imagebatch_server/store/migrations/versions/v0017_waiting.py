"""Why items of a batch wait, as its owner tells. A server that knows nothing of it only tells nothing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("batches", sa.Column("waiting", sa.JSON(), nullable=True))
