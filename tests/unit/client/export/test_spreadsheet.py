"""CSV: nothing in it is a formula, whichever way a spreadsheet takes it apart, and nothing else is changed."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.client.export.items import NOW, SCHEMA, item

from imagebatch_client.export.columns import Columns
from imagebatch_client.export.spreadsheet import Csv, defused

FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def written(**fields: Any) -> str:
    form = Csv(Columns(SCHEMA))
    return form.head() + form.body([item(**fields)], {}) + form.foot()


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-5", "'-5"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("  =1", "'  =1"),
        ("\u00a0=1", "'\u00a0=1"),
        ("\uff1d1", "'\uff1d1"),
        ("a;=1", "a;'=1"),
        ("a\n =1", "a\n '=1"),
        ("\n\n=1", "'\n\n'=1"),
        ("a\0b\n", "a\ufffdb\n"),
    ],
)
def test_a_formula_gets_an_apostrophe(text: str, harmless: str) -> None:
    assert defused(text) == harmless


@pytest.mark.parametrize("text", ["a = b", "a-b; c", "räksmörgås", "'=1", "1;2", 'say "=1"', "a,=1", ""])
def test_other_texts_stay(text: str) -> None:
    assert defused(text) == text


@given(st.text(alphabet=st.sampled_from("=+-@a1 ;,\t\r\n\"'|\uff1d\0"), max_size=30))
def test_no_cell_is_a_formula_also_where_the_semicolon_separates(text: str) -> None:
    for content in (
        written(item_id=text, error_message=text, output_data={"description": text, "anything": {text: [text]}}),
        Csv(Columns({"type": "object", "properties": {text: {"type": "string"}}})).head(),
    ):
        cells = [cell for row in read(content) for cell in row.values()]
        assert not [cell for cell in cells if cell.startswith(("\t", "\r", "\n")) or cell.lstrip().startswith(FORMULA)]
        unquoted = [cell for line in re.split("[\r\n]", content) for cell in line.split(";")]
        assert not [cell for cell in unquoted if cell.lstrip().startswith(FORMULA)]


@given(st.text())
def test_json_stays_json(text: str) -> None:
    (row,) = read(written(output_data={"anything": {"text": text}}))
    assert json.loads(row["output.anything"]) == {"text": text}


def test_numbers_are_numbers_and_the_rest_is_quoted() -> None:
    output = {"width": -5, "quality": {"sharpness": -0.5}, "is_verified": False, "tags": [{"name": "a;b"}]}
    text = written(completed_at=NOW, output_data=output)
    (row,) = read(text)
    assert text.startswith('\ufeff"item_id",')
    assert text.count("\r\n") == 2
    assert re.search(r'"false",-0\.5,"\[.*\]",-5,""\r\n$', text)
    assert row["completed_at"] == "2026-01-02T03:04:05+00:00"
    assert json.loads(row["output.tags"]) == [{"name": "a;b", "confidence": None}]


def test_a_long_run_of_breaks_takes_no_long_time() -> None:
    assert defused("a" + "\n" * 200_000).count("'") == 0
