"""What servers tell each other of tenants' calls, whose quota they share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("servers", sa.Column("calls", sa.JSON(), nullable=True))
