"""The columns of a table of items: an item's own fields, its input, and its output by the operation's schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_type_hints

from imagebatch_client.export.kinds import Kind, Misfit, Scalar, as_json, fitted, kind_of, meant, properties_of
from imagebatch_client.types import BatchItemResult

_INPUT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "image_url": {"type": "string"},
        "object_key": {"type": "string"},
        "size_bytes": {"type": "integer"},
        "sha256": {"type": "string"},
        "metadata": {},
    },
}
_SPREAD = {"input_data": "input", "output_data": "output"}
_OWN = {str: Scalar.TEXT, int: Scalar.INTEGER, float: Scalar.NUMBER, bool: Scalar.BOOLEAN, datetime: Scalar.TIME}


@dataclass(frozen=True)
class Column:
    """One column; `input.` and `output.` names are those of `imagebatch_client.rows`."""

    name: str
    kind: Kind


class Columns(Sequence[Column]):
    """All columns in their order, and an item as their values.

    What no column holds is in `input_other` and `output_other`, as JSON: nothing is lost where an output is not of the
    schema that the operation has by now.
    """

    def __init__(self, output_schema: Mapping[str, Any] | None) -> None:
        self._columns: list[Column] = []
        self._own = [(name, self._add(name, kind)) for name, kind in _own_fields().items()]
        self._spread = [
            (field, self._branch(schema, prefix), self._add(f"{prefix}_other", Scalar.JSON))
            for (field, prefix), schema in zip(_SPREAD.items(), (_INPUT_SCHEMA, output_schema or {}), strict=True)
        ]

    def __getitem__(self, index: Any) -> Any:
        return self._columns[index]

    def __len__(self) -> int:
        return len(self._columns)

    def values(self, item: BatchItemResult) -> list[Any]:
        """Make one row."""
        row: list[Any] = [None] * len(self._columns)
        for name, place in self._own:
            value = getattr(item, name)
            row[place] = value.value if isinstance(value, Enum) else value
        for field, branch, place in self._spread:
            other: dict[str, Any] = {}
            branch.put(getattr(item, field) or {}, row, other)
            row[place] = as_json(other) if other else None
        return row

    def _add(self, name: str, kind: Kind) -> int:
        self._columns.append(Column(name, kind))
        return len(self._columns) - 1

    def _branch(self, schema: Mapping[str, Any], prefix: str) -> _Branch:
        definitions = schema.get("$defs", {})
        taken: set[str] = set()

        def grown(properties: Mapping[str, Any], path: str) -> _Branch:
            branch = _Branch(path.removeprefix(f"{prefix}."))
            for name, each in sorted(properties.items()):  # the order is lost on the wire
                column = f"{path}{name}"
                inner = properties_of(meant(each, definitions))
                if column.lower() in taken:  # some readers don't tell cases apart
                    continue
                taken.add(column.lower())
                if inner and path.count(".") < _MOST_NESTED:
                    branch.branches[name] = grown(inner, f"{column}.")
                else:
                    kind = kind_of(each, definitions)
                    branch.leaves[name] = (self._add(column, kind), kind)
            return branch

        return grown(properties_of(schema), f"{prefix}.")


_MOST_NESTED = 8
"""Levels of objects that become columns; those below are structs."""


class _Branch:
    """An object whose values have columns, or are such objects."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.leaves: dict[str, tuple[int, Kind]] = {}
        self.branches: dict[str, _Branch] = {}

    def put(self, values: Mapping[str, Any], row: list[Any], other: dict[str, Any]) -> None:
        for name, value in values.items():
            if (leaf := self.leaves.get(name)) is not None:
                place, kind = leaf
                try:
                    row[place] = fitted(kind, value)
                except Misfit:
                    other[f"{self._path}{name}"] = value
            elif (branch := self.branches.get(name)) is not None and isinstance(value, (dict, NoneType)):
                branch.put(value or {}, row, other)
            else:
                other[f"{self._path}{name}"] = value


def _own_fields() -> dict[str, Scalar]:
    """Read an item's fields but for those that are spread, with their kinds, of its type."""
    found = {}
    for name, hint in get_type_hints(BatchItemResult).items():
        if name in _SPREAD:
            continue
        (of,) = [each for each in get_args(hint) if each is not NoneType] or [hint]
        found[name] = Scalar.TEXT if issubclass(of, str) else _OWN[of]
    return found
