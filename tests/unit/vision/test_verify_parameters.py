"""Where a batch's parameters are refused, and what an item's expectations make of the batch's."""

from __future__ import annotations

from typing import Any

import pytest

from imagebatch_server import structs
from imagebatch_server.operations.registry import OperationRegistry
from imagebatch_vision.verify import Expectations
from imagebatch_vision.verify.parameters import expected_of


@pytest.fixture(scope="module")
def registry() -> OperationRegistry:
    return OperationRegistry.load()


@pytest.mark.parametrize(
    ("expect", "path", "why"),
    [
        (
            {"label": "wombatt"},
            "expect.label",
            "'wombatt' is refused: \"wombatt\" is none of the things that the local",
        ),
        ({"label": "  "}, "expect.label", "'  ' is refused: it is blank; name what the image is to show"),
        ({"label": ""}, "expect.label", "'' is refused: string should have at least 1 character"),
        ({"rules": ["it is red"]}, "expect.rules", "['it is red'] is refused: a model judges them: use backend openai"),
        ({"text": "?!"}, "expect.text", "'?!' is refused: there is no letter or digit in it"),
        (
            {"captured_after": "2025-01-01", "captured_before": "2024-01-01"},
            "expect",
            "captured_after is not earlier than captured_before (2025-01-01T00:00:00 and 2024-01-01T00:00:00)",
        ),
    ],
)
def test_a_refusal_names_the_path_to_what_is_wrong(
    registry: OperationRegistry, expect: dict[str, Any], path: str, why: str
) -> None:
    (violation,) = registry.violations("verify", structs.from_dict({"expect": expect}))

    assert violation.field == f"options.parameters.{path}"
    assert violation.description.startswith(why)


def test_a_model_judges_any_label_but_a_blank_one(registry: OperationRegistry) -> None:
    def violations(label: str) -> list[str]:
        given = {"backend": "openai", "model": "some", "expect": {"label": label}}
        found = registry.violations("verify", structs.from_dict(given))
        return [it.field for it in found if "expect" in it.field]

    assert violations("wombatt") == []
    assert violations(" ") == ["options.parameters.expect.label"]


AFTER, BEFORE = {"captured_after": "2025-01-01"}, {"captured_before": "2024-01-01"}


@pytest.mark.parametrize(
    ("batch", "own"),
    [(BEFORE, AFTER), (AFTER, BEFORE), ({}, AFTER | BEFORE), ({"captured_after": "2023-01-01"}, AFTER | BEFORE)],
)
def test_limits_of_time_without_a_time_between_them_are_said_to_be_wrong_and_not_checked(
    batch: dict[str, str], own: dict[str, str]
) -> None:
    expected, problems = expected_of(
        Expectations.model_validate(batch | {"label": "cat"}), {"expect": own | {"text": "a1"}}
    )

    assert expected == Expectations(text="a1", label="cat")
    assert len(problems) == 1
    assert problems[0].startswith("metadata.expect over the batch's expectations: captured_after is not earlier than")


def test_limits_that_fit_together_are_taken_from_both() -> None:
    batch = Expectations.model_validate({"captured_before": "2026-01-01"})

    expected, problems = expected_of(batch, {"expect": AFTER})

    assert problems == []
    assert expected == Expectations.model_validate(AFTER | {"captured_before": "2026-01-01"})


def test_one_wrong_limit_leaves_the_others_to_be_compared() -> None:
    batch = Expectations.model_validate(BEFORE)

    assert expected_of(batch, {"expect": {"captured_after": "yesterday"}})[0] == batch
    expected, problems = expected_of(batch, {"expect": AFTER | {"captured_before": "tomorrow"}})
    assert expected == Expectations()
    assert len(problems) == 2
