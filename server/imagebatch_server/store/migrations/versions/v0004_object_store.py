"""The id of the object store that the database belongs with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table("object_store", sa.Column("id", sa.String(), nullable=False), sa.PrimaryKeyConstraint("id"))
