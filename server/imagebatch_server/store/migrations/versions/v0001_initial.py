"""The first schema: batches, their labels, items, outcomes and stored objects.

The columns of ownership and the tenant in every key are here from the start, although one owner and one tenant come
first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "batch_labels",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "key"),
    )
    op.create_index("batch_labels_by_value", "batch_labels", ["tenant", "key", "value", "batch_id"], unique=False)
    op.create_table(
        "batches",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("visible", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("content_sha256", sa.String(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("parameters", sa.LargeBinary(), nullable=True),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("item_timeout_s", sa.Float(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("skip_duplicates", sa.Boolean(), nullable=False),
        sa.Column("canary", sa.Integer(), nullable=True),
        sa.Column("failure_limit", sa.Float(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("total_items", sa.Integer(), nullable=False),
        sa.Column("successful_items", sa.Integer(), nullable=False),
        sa.Column("failed_items", sa.Integer(), nullable=False),
        sa.Column("skipped_items", sa.Integer(), nullable=False),
        sa.Column("fetch_failed", sa.Integer(), nullable=False),
        sa.Column("fetch_forbidden", sa.Integer(), nullable=False),
        sa.Column("object_not_found", sa.Integer(), nullable=False),
        sa.Column("too_large", sa.Integer(), nullable=False),
        sa.Column("unsupported_format", sa.Integer(), nullable=False),
        sa.Column("decode_failed", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("provider_error", sa.Integer(), nullable=False),
        sa.Column("worker_crashed", sa.Integer(), nullable=False),
        sa.Column("internal", sa.Integer(), nullable=False),
        sa.Column("processing_time_ms", sa.BigInteger(), nullable=False),
        sa.Column("timed_items", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("judged_from_successful", sa.Integer(), nullable=False),
        sa.Column("judged_from_failed", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("owner_epoch", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcomes_per_s", sa.Float(), nullable=True),
        sa.Column("rated_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "batch_id"),
    )
    op.create_index(
        "batches_completed",
        "batches",
        ["completed_at"],
        unique=False,
        sqlite_where=sa.text("visible AND status NOT IN ('pending', 'processing')"),
        postgresql_where=sa.text("visible AND status NOT IN ('pending', 'processing')"),
    )
    op.create_index(
        "batches_discarded",
        "batches",
        ["tenant", "batch_id"],
        unique=False,
        sqlite_where=sa.text("NOT visible AND status <> 'pending'"),
        postgresql_where=sa.text("NOT visible AND status <> 'pending'"),
    )
    op.create_index("batches_request_id", "batches", ["tenant", "request_id"], unique=True)
    op.create_index(
        "batches_running",
        "batches",
        ["tenant", "batch_id"],
        unique=False,
        sqlite_where=sa.text("visible AND status IN ('pending', 'processing')"),
        postgresql_where=sa.text("visible AND status IN ('pending', 'processing')"),
    )
    op.create_table(
        "items",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("item_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item_id", sa.String(), nullable=True),
        sa.Column("image_url", sa.String(), nullable=True),
        sa.Column("object_key", sa.String(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("declared_type", sa.String(), nullable=True),
        sa.Column("metadata", sa.LargeBinary(), nullable=True),
        sa.Column("content_key", sa.LargeBinary(), nullable=True),
        sa.Column("duplicate_of_index", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "item_index"),
    )
    op.create_index(
        "items_content_key",
        "items",
        ["tenant", "batch_id", "content_key"],
        unique=True,
        sqlite_where=sa.text("content_key IS NOT NULL AND duplicate_of_index IS NULL"),
        postgresql_where=sa.text("content_key IS NOT NULL AND duplicate_of_index IS NULL"),
    )
    op.create_index(
        "items_item_id",
        "items",
        ["tenant", "batch_id", "item_id"],
        unique=True,
        sqlite_where=sa.text("item_id IS NOT NULL"),
        postgresql_where=sa.text("item_id IS NOT NULL"),
    )
    op.create_index(
        "items_object_key",
        "items",
        ["object_key"],
        unique=False,
        sqlite_where=sa.text("object_key IS NOT NULL"),
        postgresql_where=sa.text("object_key IS NOT NULL"),
    )
    op.create_table(
        "objects",
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("file_name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("object_key", "tenant"),
    )
    op.create_table(
        "outcomes",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("batch_id", sa.String(), nullable=False),
        sa.Column("item_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("error_code", sa.String(), nullable=True),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("output_data", sa.LargeBinary(), nullable=True),
        sa.Column("processing_time_ms", sa.BigInteger(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("image_sha256", sa.String(), nullable=True),
        sa.Column("stored_object_key", sa.String(), nullable=True),
        sa.Column("duplicate_of_index", sa.Integer(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "item_index"),
    )
    op.create_index(
        "outcomes_sequence",
        "outcomes",
        ["tenant", "batch_id", "sequence"],
        unique=True,
        sqlite_where=sa.text("sequence > 0"),
        postgresql_where=sa.text("sequence > 0"),
    )
    op.create_index(
        "outcomes_stored_object_key",
        "outcomes",
        ["stored_object_key"],
        unique=False,
        sqlite_where=sa.text("stored_object_key IS NOT NULL"),
        postgresql_where=sa.text("stored_object_key IS NOT NULL"),
    )
    op.create_index(
        "outcomes_unsuccessful",
        "outcomes",
        ["tenant", "batch_id", "item_index", "status"],
        unique=False,
        sqlite_where=sa.text("status <> 'success'"),
        postgresql_where=sa.text("status <> 'success'"),
    )
