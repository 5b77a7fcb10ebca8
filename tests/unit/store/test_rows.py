"""Outcomes are written by position, in the order of their table's columns."""

from __future__ import annotations

from sqlmodel import SQLModel

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches.model import Outcome
from imagebatch_server.store import rows, tables


def test_the_row_of_an_outcome_has_its_values_in_their_columns() -> None:
    kept = Outcome.__struct_fields__[: rows.KEPT_FIELDS]
    values = {name: f"the {name}" for name in kept}
    values |= {"status": BatchItemStatus.FAILED, "error_code": ItemErrorCode.TIMEOUT}
    row = rows.from_outcome(("the tenant", "the batch_id"), 7, Outcome(**values), "the completed_at", "the cluster_id")  # type: ignore[arg-type]  # texts in place of all types
    columns = SQLModel.metadata.tables[str(tables.OutcomeRow.__tablename__)].columns.keys()
    others = {name: f"the {name}" for name in ("tenant", "batch_id", "completed_at", "cluster_id")}
    assert dict(zip(columns, row, strict=True)) == values | others | {"sequence": 7}
