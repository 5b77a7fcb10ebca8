"""Small pictures of items' images. A server that knows nothing of them would sweep them away, so it may not run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("outcomes", sa.Column("preview_object_key", sa.String(), nullable=True))
    op.execute("UPDATE schema_bears SET oldest_revision = '0015'")
