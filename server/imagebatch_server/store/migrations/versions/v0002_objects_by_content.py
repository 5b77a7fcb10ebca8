"""An index that finds a tenant's object by its content, so that an image is not uploaded twice."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("objects_by_content", "objects", ["tenant", "sha256"], unique=False)
