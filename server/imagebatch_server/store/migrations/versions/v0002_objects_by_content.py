"""An index that finds a tenant's object by its content, so that an image is not uploaded twice."""

from __future__ import annotations

from imagebatch_server.store.migrations.indexes import create_index_concurrently

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_index_concurrently("objects_by_content", "objects", ["tenant", "sha256"])
