"""Outcomes are written by position: their fields and the table's columns stand in one order."""

from __future__ import annotations

from sqlmodel import SQLModel

from imagebatch_server.batches.model import Outcome
from imagebatch_server.store import tables


def test_an_outcome_has_its_columns_in_their_order() -> None:
    item_index, *rest, counted = Outcome.__struct_fields__
    assert counted == "image_bytes"  # which usage adds up, and no row keeps
    outcomes = SQLModel.metadata.tables[str(tables.OutcomeRow.__tablename__)]
    assert outcomes.columns.keys() == ["tenant", "batch_id", item_index, "sequence", *rest, "completed_at"]
