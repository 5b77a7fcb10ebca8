"""docs/states.md knows every state, and says of each what `lifecycle` says."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from tests.unit.batches.samples import CREATED_AT, batch

from imagebatch.v1.enums import BatchItemStatus, BatchStatus, WaitingReason
from imagebatch_server.batches import lifecycle

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "states.md").read_text()
OF_BATCHES, REST = PAGE.split("\n## An item\n")
OF_ITEMS, OF_WAITING = REST.split("\n## Why a batch waits\n")
INVISIBLE = {"staged", "hidden"}


def tables(text: str) -> list[list[list[str]]]:
    """Read the cells of each table, without its head."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [[[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]] for table in found]


def names(cell: str) -> set[str]:
    return {name.split(" by ")[0] for name in cell.split(", ") if name}


def test_every_state_of_a_batch_is_there() -> None:
    states, moves, _ = tables(OF_BATCHES)
    visible = {state: ends for state, is_visible, ends, _ in states if is_visible == "yes"}
    assert set(visible) == {status.value for status in BatchStatus}
    assert {state for state, ends in visible.items() if ends == "yes"} == {
        status.value for status in lifecycle.TERMINAL
    }
    known = set(visible) | INVISIBLE
    assert {state for state, *_ in states} == known
    for before, after, *_ in moves:
        assert names(before) <= known
        assert names(after) <= known | {"a terminal status"}


def test_a_terminal_batch_only_ever_changes_by_a_retry_or_goes() -> None:
    _, moves, _ = tables(OF_BATCHES)
    for before, after, by, _ in moves:
        if names(before) & {status.value for status in lifecycle.TERMINAL}:
            assert after == "hidden" or by.startswith("RetryBatch")


def test_the_terminal_status_is_what_lifecycle_says() -> None:
    _, _, rules = tables(OF_BATCHES)

    def fits(cell: str, count: int) -> bool:
        return {"any": True, "0": count == 0, "1 or more": count > 0}[cell]

    for cancelled, successful, failed in product((False, True), (0, 1, 5), (0, 1, 5)):
        ended = batch(
            total_items=11,
            successful_items=successful,
            failed_items=failed,
            skipped_items=11 - successful - failed,
            cancel_requested_at=CREATED_AT if cancelled else None,
        )
        said = next(
            status
            for asked, of_successful, of_failed, status in rules
            if (asked == "yes") == cancelled and fits(of_successful, successful) and fits(of_failed, failed)
        )
        assert said == lifecycle.terminal_status(ended).value


def test_every_state_of_an_item_is_there() -> None:
    states, moves = tables(OF_ITEMS)
    known = {status.value for status in BatchItemStatus}
    assert {state for state, *_ in states} == known
    for before, after, *_ in moves:
        assert names(before) | names(after) <= known


def test_every_reason_to_wait_is_there() -> None:
    (reasons,) = tables(OF_WAITING)
    listed = [name for cell, _ in reasons for name in names(cell)]
    assert sorted(listed) == sorted(reason.value.upper() for reason in WaitingReason)
