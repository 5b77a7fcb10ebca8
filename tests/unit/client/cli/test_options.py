from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagebatch_client import InvalidRequestError
from imagebatch_client.cli import options
from imagebatch_client.cli.app import global_options_first


@pytest.mark.parametrize(
    ("as_json", "singly", "expected"),
    [
        (None, [], None),
        (None, ["size=256", "fit=true", "tags=[1]"], {"size": 256, "fit": True, "tags": [1]}),
        (None, ["name=cat", "text=a=b", "empty="], {"name": "cat", "text": "a=b", "empty": ""}),
        ('{"size": 1, "keep": null}', ["size=2"], {"size": 2, "keep": None}),
    ],
)
def test_parameters(as_json: str | None, singly: list[str], expected: dict[str, Any] | None) -> None:
    assert options.parameters(as_json, singly) == expected


def test_parameters_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"size": 3}', encoding="utf-8")
    assert options.parameters(f"@{path}", []) == {"size": 3}


@pytest.mark.parametrize(
    ("as_json", "singly", "words"),
    [
        ("{", [], "--parameters: is no JSON"),
        ("[1]", [], "--parameters: is a JSON list; give an object"),
        ("@/no/such/file", [], "--parameters: /no/such/file can't be read: No such file or directory"),
        ('{"size": 1, "size": 2}', [], "--parameters: 'size' is given twice; give it once"),
        ("[" * 100_000, [], "--parameters: it is nested too deep"),
        (None, ['expect={"text": "a", "text": "b"}'], "--param: expect: 'text' is given twice; give it once"),
        (None, ["expect=" + '{"a":' * 100_000], "--param: expect: it is nested too deep"),
        (None, ["size"], "--param: 'size' is not KEY=VALUE"),
        (None, ["=3"], "--param: '=3' is not KEY=VALUE"),
    ],
)
def test_parameters_that_cannot_be_read(as_json: str | None, singly: list[str], words: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        options.parameters(as_json, singly)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "ordered"),
    [
        ("status b1", "status b1"),
        ("--address h:1 status b1", "--address h:1 status b1"),
        ("status b1 --address h:1", "--address h:1 status b1"),
        ("status --token=t b1 --address=h:1", "--token=t --address=h:1 status b1"),
        ("status --address", "--address status"),
        ("submit -- --address", "submit -- --address"),
        ("serve --address h:1", "serve --address h:1"),
        ("--address h:1 serve --token t", "--address h:1 serve --token t"),
        ("submit serve --token t", "--token t submit serve"),
    ],
)
def test_global_options_may_stand_after_the_verb(typed: str, ordered: str) -> None:
    assert global_options_first(typed.split(), {"serve"}) == ordered.split()
