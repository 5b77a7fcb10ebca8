"""Manifests that don't say clearly what is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebatch_client import InvalidRequestError
from imagebatch_client.cli.manifest import read_manifest


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.jsonl", '{"path": "a.jpg", "path": "b.jpg"}', "line 1: 'path' is given twice; give it once"),
        ("m.jsonl", '{"path": "a", "metadata": {"a": {"b": 1, "b": 2}}}', "line 1: 'b' is given twice; give it once"),
        ("m.jsonl", "[" * 100_000, "line 1: it is nested too deep"),
        ("m.csv", "path,path\na.jpg,b.jpg\n", "the CSV has the column 'path' twice; give it once"),
        ("m.csv", "path;item_id\na.jpg;1\n", "the CSV has ';' between its columns; write commas"),
        ("m.csv", "path\titem_id\na.jpg\t1\n", "the CSV has '\\t' between its columns; write commas"),
        ("m.csv", "\n\npath\na.jpg\n", "the CSV names no columns in its first line; there are path, url"),
        (
            "m.csv",
            'path,metadata\na.jpg,"{""a"": 1, ""a"": 2}"\n',
            "line 2: metadata: 'a' is given twice; give it once",
        ),
        ("m.csv", "path,metadata\na.jpg,{\n", "line 2: metadata is no JSON"),
    ],
)
def test_what_could_mean_two_things_is_refused(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidRequestError) as caught:
        read_manifest(str(tmp_path / name))
    assert told in str(caught.value)
