"""Parquet: parts of some thousand items each, which at the end become the row groups of one file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from imagebatch_client.export.columns import Columns
from imagebatch_client.export.cursor import Cursor
from imagebatch_client.export.form import Images
from imagebatch_client.export.kinds import Kind, ListOf, Scalar, StructOf
from imagebatch_client.export.writer import ROWS, Spoilt
from imagebatch_client.types import BatchItemResult

_COMPRESSION = "zstd"

_TYPES = {
    Scalar.TEXT: pa.string(),
    Scalar.INTEGER: pa.int64(),
    Scalar.NUMBER: pa.float64(),
    Scalar.BOOLEAN: pa.bool_(),
    Scalar.TIME: pa.timestamp("us", tz="UTC"),
    Scalar.JSON: pa.string(),
}


class ParquetWriter:
    """A table in the making."""

    def __init__(self, folder: Path, cursor: Cursor, columns: Columns) -> None:
        """Go on after what `cursor` counts. Raises Spoilt."""
        self._folder = folder
        self._columns = columns
        self._schema = pa.schema(
            [(column.name, _type(column.kind)) for column in columns],
            metadata={"imagebatch.batch_id": cursor.batch_id, "imagebatch.operation": cursor.operation},
        )
        self._items = cursor.items
        self._unsaved: list[Any] = []
        self._parts = self._whole_parts()

    @property
    def unsaved_bytes(self) -> int:
        return sum(batch.nbytes for batch in self._unsaved)

    def write(self, items: Sequence[BatchItemResult], images: Images) -> None:
        values = zip(*map(self._columns.values, items), strict=True)
        arrays = [pa.array(column, kind) for column, kind in zip(values, self._schema.types, strict=True)]
        self._unsaved.append(pa.record_batch(arrays, schema=self._schema))

    def save(self) -> int:
        if self._unsaved:
            table = pa.Table.from_batches(self._unsaved).combine_chunks()
            part = self._folder / f"{self._items:012}.parquet"
            self._write(part, [table])
            self._parts.append(part)
            self._items += table.num_rows
            self._unsaved = []
        return 0

    def finish(self) -> Path:
        self.save()
        return self._write(self._folder / ROWS, map(pq.read_table, self._parts))

    def close(self) -> None:
        self._unsaved = []

    def _write(self, path: Path, tables: Any) -> Path:
        """Write each table as a row group."""
        with path.open("wb") as file:
            with pq.ParquetWriter(file, self._schema, compression=_COMPRESSION) as writer:
                for table in tables:
                    writer.write_table(table)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _whole_parts(self) -> list[Path]:
        """List the parts that the cursor counts: those after it may be cut, and are written again."""
        parts = [path for path in sorted(self._folder.glob("*.parquet")) if int(path.stem) < self._items]
        try:
            items = sum(pq.read_metadata(part).num_rows for part in parts)
        except pa.ArrowInvalid as error:
            raise Spoilt from error
        if items != self._items:
            raise Spoilt
        return parts


def _type(kind: Kind) -> Any:
    match kind:
        case ListOf():
            return pa.list_(_type(kind.kind))
        case StructOf():
            return pa.struct([(name, _type(each)) for name, each in kind.kinds.items()])
        case Scalar():
            return _TYPES[kind]
