"""Which columns a table of items has, and what is in them."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from tests.unit.client.export.items import NOW, SCHEMA, item

from imagebatch_client import BatchItemResult, ItemErrorCode, rows
from imagebatch_client.export.columns import Columns
from imagebatch_client.export.kinds import ListOf, Scalar, StructOf, kind_of


def row(columns: Columns, result: BatchItemResult) -> dict[str, Any]:
    return dict(zip([column.name for column in columns], columns.values(result), strict=True))


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string", "format": "date-time"}, Scalar.TEXT),
        ({"enum": ["a", "b"]}, Scalar.TEXT),
        ({"const": "a"}, Scalar.TEXT),
        ({"enum": ["a", 1]}, Scalar.JSON),
        ({"type": ["integer", "null"]}, Scalar.INTEGER),
        ({"type": ["integer", "string"]}, Scalar.JSON),
        ({"oneOf": [{"type": "null"}, {"type": "number"}]}, Scalar.NUMBER),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, Scalar.JSON),
        ({"type": "array", "items": {"type": "string"}}, ListOf(Scalar.TEXT)),
        ({"type": "array"}, Scalar.JSON),
        ({"type": "array", "items": {}}, Scalar.JSON),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, Scalar.JSON),
        ({"type": "object", "properties": {"x": {"type": "number"}}}, StructOf({"x": Scalar.NUMBER})),
        ({"type": "object", "properties": {"x": {}}, "additionalProperties": {"type": "string"}}, Scalar.JSON),
        ({"type": "object"}, Scalar.JSON),
        ({"$ref": "#/$defs/Missing"}, Scalar.JSON),
        ({"$ref": "#/$defs/Loop"}, Scalar.JSON),
        (True, Scalar.JSON),
        ("nonsense", Scalar.JSON),
    ],
)
def test_a_schema_means_a_kind(schema: Any, kind: Any) -> None:
    assert kind_of(schema, {"Loop": {"$ref": "#/$defs/Loop"}}) == kind


def test_a_schema_that_holds_itself_ends_as_json() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}}
    columns = Columns({"$defs": {"Tree": tree}, **tree})
    deep: dict[str, Any] = {}
    for _ in range(25):
        deep = {"left": deep}
    assert len([column for column in columns if column.name.startswith("output.")]) == 1
    assert json.loads(row(columns, item(output_data=deep))["output_other"] or "{}") != deep


def test_the_columns_of_an_item_are_its_fields_its_input_and_its_output() -> None:
    columns = Columns(SCHEMA)
    own = [field.name for field in fields(BatchItemResult) if field.name not in ("input_data", "output_data")]
    assert [column.name for column in columns] == [
        *own,
        *(f"input.{name}" for name in ("image_url", "metadata", "object_key", "sha256", "size_bytes")),
        "input_other",
        *(
            f"output.{name}"
            for name in ("anything", "description", "is_verified", "quality.sharpness", "tags", "width")
        ),
        "output_other",
    ]
    kinds = {column.name: column.kind for column in columns}
    assert kinds["completed_at"] is Scalar.TIME
    assert kinds["output.quality.sharpness"] is Scalar.NUMBER
    assert kinds["output.tags"] == ListOf(StructOf({"confidence": Scalar.NUMBER, "name": Scalar.TEXT}))


def test_the_names_are_those_of_rows() -> None:
    given = item(input_data={"image_url": "x"}, output_data={"description": "A cat.", "quality": {"sharpness": 0.5}})
    assert rows([given])[0].keys() <= {column.name for column in Columns(SCHEMA)}


def test_values_are_of_their_columns_kind() -> None:
    output = {"description": "A cat.", "width": 3, "quality": {"sharpness": 1}, "tags": [{"name": "cat"}]}
    found = row(
        Columns(SCHEMA),
        item(
            completed_at=NOW,
            error_code=ItemErrorCode.TIMEOUT,
            input_data={"object_key": "k", "metadata": {"b": 1, "a": [2]}},
            output_data=output | {"anything": {"any": "thing"}},
        ),
    )
    assert (type(found["status"]), found["error_code"], found["completed_at"]) == (str, "timeout", NOW)
    assert (found["output.width"], found["output.quality.sharpness"], found["output.is_verified"]) == (3, 1.0, None)
    assert isinstance(found["output.quality.sharpness"], float)
    assert found["output.tags"] == [{"name": "cat", "confidence": None}]
    assert (found["input.metadata"], found["output.anything"]) == ('{"a":[2],"b":1}', '{"any":"thing"}')
    assert (found["input_other"], found["output_other"]) == (None, None)


def test_what_no_column_holds_is_kept_as_json() -> None:
    output = {"description": 3, "width": 1.5, "quality": {"sharpness": "high", "grain": 1}, "tags": "cat", "new": None}
    found = row(Columns(SCHEMA), item(output_data=output, input_data={"later": 1}))
    assert json.loads(found["output_other"]) == {
        "description": 3,
        "width": 1.5,
        "quality.sharpness": "high",
        "quality.grain": 1,
        "tags": "cat",
        "new": None,
    }
    assert json.loads(found["input_other"]) == {"later": 1}
    assert {name for name, value in found.items() if value is not None and name.startswith("output.")} == set()


def test_without_a_schema_all_of_an_output_is_kept_as_json() -> None:
    assert json.loads(row(Columns(None), item(output_data={"a": {"b": 1}}))["output_other"]) == {"a": {"b": 1}}


def test_names_that_differ_in_case_alone_are_one_column() -> None:
    schema = {"type": "object", "properties": {"Width": {"type": "integer"}, "width": {"type": "integer"}}}
    found = row(Columns(schema), item(output_data={"Width": 1, "width": 2}))
    assert (found["output.Width"], found["output_other"]) == (1, '{"width":2}')
