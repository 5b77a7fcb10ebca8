"""An index that finds what refers to a preview, so that no other one is swept."""

from __future__ import annotations

import sqlalchemy as sa

from imagebatch_server.store.migrations.indexes import create_index_concurrently

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    named = sa.text("preview_object_key IS NOT NULL")
    create_index_concurrently(
        "outcomes_preview_object_key",
        "outcomes",
        ["preview_object_key"],
        sqlite_where=named,
        postgresql_where=named,
    )
