"""Parameters are read strictly: JSON's kinds are not turned into each other."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from imagebatch_server.operations import Parameters


class Mode(StrEnum):
    FIT = "fit"


class Nested(Parameters):
    count: int = 0


class Sample(Parameters):
    width: int = Field(default=1, ge=1)
    share: float = 0.5
    is_on: bool = False
    name: str = ""
    mode: Mode = Mode.FIT
    kind: Literal["a", "b"] = "a"
    tags: tuple[str, ...] = ()
    nested: Nested = Nested()


@pytest.mark.parametrize(
    "given",
    [
        {"width": True},
        {"width": "3"},
        {"width": 1.5},
        {"share": True},
        {"share": "0.5"},
        {"is_on": 1},
        {"is_on": "yes"},
        {"name": 3},
        {"tags": "abc"},
        {"nested": {"count": True}},
        {"widht": 3},
    ],
    ids=str,
)
def test_another_kind_of_value_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sample.parse(given)


def test_what_json_says_is_taken() -> None:
    given = {"width": 3, "share": 1, "is_on": True, "name": "x", "mode": "fit", "kind": "b", "tags": ["a"]}
    parsed = Sample.parse(given | {"nested": {"count": 2}})
    assert parsed == Sample(
        width=3, share=1.0, is_on=True, name="x", mode=Mode.FIT, kind="b", tags=("a",), nested=Nested(count=2)
    )
