"""Parquet: parts that are whole, and one file of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.client.export.items import BATCH_ID, SCHEMA, item
from tests.unit.client.export.test_export import ITEMS, Killed, killed_at, run, saved_often

from imagebatch_client import BatchExport, ItemErrorCode
from imagebatch_client.export.columns import Columns
from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.parquet import ParquetWriter

__all__ = ["saved_often"]  # a fixture


def test_columns_have_types(tmp_path: Path) -> None:
    writer = ParquetWriter(tmp_path, Cursor(BATCH_ID, "look", 2, SCHEMA), Columns(SCHEMA))
    output = {"width": 3, "is_verified": True, "tags": [{"name": "cat", "confidence": 0.5}], "anything": [1]}
    writer.write([item(output_data=output), item(1, error_code=ItemErrorCode.TIMEOUT)], {})
    table = pq.read_table(writer.finish())
    kinds = {field.name: field.type for field in table.schema}
    assert kinds["completed_at"] == pa.timestamp("us", tz="UTC")
    assert (kinds["output.width"], kinds["output.quality.sharpness"]) == (pa.int64(), pa.float64())
    assert (kinds["output.is_verified"], kinds["output.anything"]) == (pa.bool_(), pa.string())
    assert pa.types.is_list(kinds["output.tags"])
    first, second = table.to_pylist()
    assert first["output.tags"] == [{"name": "cat", "confidence": 0.5}]
    assert (second["error_code"], second["output.tags"], second["output.width"]) == ("timeout", None, None)
    assert table.schema.metadata[b"imagebatch.batch_id"] == BATCH_ID.encode()


@pytest.mark.parametrize("pages", range(7))
def test_a_repeat_goes_on_after_the_last_whole_part(tmp_path: Path, pages: int) -> None:
    path, asked = tmp_path / "out.parquet", list[int]()
    if run(path, pages=pages) is None:
        assert not path.exists()
        assert run(path, asked=asked) == BatchExport(str(path), 11, 11, 2)
        assert asked[0] == pages // 2 * 4
    table = pq.read_table(path)
    assert table["item_index"].to_pylist() == list(range(11))
    assert table["output.description"].to_pylist() == [(each.output_data or {})["description"] for each in ITEMS]
    assert pq.read_metadata(path).num_row_groups == 3
    assert list(tmp_path.iterdir()) == [path]


def test_killed_at_any_step_it_leaves_the_whole_file_or_none(tmp_path: Path) -> None:
    for step in range(100):
        path = tmp_path / str(step) / "out.parquet"
        path.parent.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            killed_at(patch, step)
            try:
                run(path)
            except Killed:
                pass
            else:
                break
        run(path, replaces=path.exists())
        assert pq.read_table(path)["item_index"].to_pylist() == list(range(11))
        assert list(path.parent.iterdir()) == [path]
    assert step > 15


@pytest.mark.parametrize("spoil", ["gone", "cut", "more"])
def test_parts_that_are_not_as_the_cursor_says(tmp_path: Path, spoil: str) -> None:
    path, asked = tmp_path / "out.parquet", list[int]()
    run(path, pages=5)
    parts = sorted((tmp_path / "out.parquet.part").glob("*.parquet"))
    assert [part.name for part in parts] == ["000000000000.parquet", "000000000004.parquet"]
    if spoil == "gone":
        parts[0].unlink()
    elif spoil == "more":
        parts[0].with_name("000000000008.parquet").write_bytes(b"cut off")
    else:
        parts[1].write_bytes(parts[1].read_bytes()[:50])
    run(path, asked=asked)
    assert asked[0] == (8 if spoil == "more" else 0)
    assert pq.read_table(path)["item_index"].to_pylist() == list(range(11))
