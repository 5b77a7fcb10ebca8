"""Objects whose rows were removed and whose blobs are still to be."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "removed_objects", sa.Column("object_key", sa.String(), nullable=False), sa.PrimaryKeyConstraint("object_key")
    )
