"""Batches by their key, in every table that has it.

Statements are built once, with parameters: building one anew takes longer than running it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam

BatchKey = tuple[str, str]
"""Tenant and batch_id."""


def of_batch(table: Table) -> ColumnElement[bool]:
    """Make the condition that a row belongs to the batch of `parameters`."""
    return and_(table.c.tenant == bindparam("of_tenant"), table.c.batch_id == bindparam("of_batch_id"))


def parameters(key: BatchKey) -> dict[str, Any]:
    """Make the values for `of_batch`."""
    tenant, batch_id = key
    return {"of_tenant": tenant, "of_batch_id": batch_id}
