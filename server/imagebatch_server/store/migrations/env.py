"""Alembic's entry: runs migrations on the connection that `store.migrate` hands over."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transaction_per_migration=True,  # unless the connection is in a transaction already
)
with context.begin_transaction():
    context.run_migrations()
