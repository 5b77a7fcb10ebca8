"""The checker sees each defect that a server could have, and none where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.faults.checker import Counters, Evidence, Outcome, Watch, blob_defects, defects, submission_defects

# Items end in the order 2, 0, 3, 1; item 1 fails.
OUTCOMES = (
    Outcome(0, "a", 2, "success"),
    Outcome(1, "b", 4, "failed", "decode_failed"),
    Outcome(2, "c", 1, "success"),
    Outcome(3, "d", 3, "success"),
)
TOLD = tuple(sorted(OUTCOMES, key=lambda outcome: outcome.sequence))
GOOD = Evidence(
    batch_id="x",
    item_ids=("a", "b", "c", "d"),
    allowed=(frozenset({"success"}), frozenset({"decode_failed"}), frozenset(), frozenset()),
    pages=OUTCOMES,
    rows=OUTCOMES,
    counters=Counters("partially_completed", 4, 4, 3, 1, 0, {"decode_failed": 1}),
    watches=(Watch("w", TOLD, ended_after=4),),
)


def watching(*outcomes: Outcome, ended_after: int | None) -> Evidence:
    return replace(GOOD, watches=(Watch("w", outcomes, ended_after),))


def test_what_is_well_passes() -> None:
    assert defects(GOOD) == []
    assert submission_defects({"r": ["x", "x"], "s": [], "t": ["y"]}, {"x": "r"}, deleted=["y"]) == []


def test_a_cancelled_batch_with_skips_passes() -> None:
    skipped = (*OUTCOMES[:3], Outcome(3, "d", 3, "skipped", "cancelled"))
    told = sorted(skipped, key=lambda outcome: outcome.sequence)
    evidence = replace(
        GOOD,
        pages=skipped,
        rows=skipped,
        counters=Counters("cancelled", 4, 4, 2, 1, 1, {"decode_failed": 1}),
        watches=(Watch("w", told, ended_after=4),),
        cancelled=True,
    )
    assert defects(evidence) == []


def test_after_a_retry_numbers_may_be_missing_and_items_told_of_before() -> None:
    again = (OUTCOMES[0], Outcome(1, "b", 6, "success"), *OUTCOMES[2:])
    evidence = replace(
        GOOD,
        allowed=(),
        pages=again,
        rows=again,
        counters=Counters("completed", 4, 4, 4, 0, 0),
        watches=(Watch("w", (*TOLD, again[1]), ended_after=5),),
        retried=True,
    )
    assert defects(evidence) == []
    assert any("sequence 5 is missing" in defect for defect in defects(replace(evidence, retried=False)))
    assert any("item 1 is doubled" in defect for defect in defects(replace(evidence, retried=False)))


BROKEN = {
    "lost from pages": (replace(GOOD, pages=OUTCOMES[:3]), "item 3 is lost: not in pages"),
    "lost from rows": (replace(GOOD, rows=OUTCOMES[1:]), "item 0 is lost: not in rows"),
    "lost to a watcher": (
        watching(*TOLD[:3], ended_after=3),
        "watch w: item 1 is lost: the terminal status came without it",
    ),
    "lost in the middle of a watch": (watching(TOLD[0], *TOLD[2:], ended_after=3), "watch w: sequence 2 is missing"),
    "without an outcome": (
        replace(GOOD, pages=(*OUTCOMES[:3], Outcome(3, "d", 0, "pending"))),
        "item 3 is lost: pending in pages, without an outcome",
    ),
    "doubled in pages": (
        replace(GOOD, pages=(OUTCOMES[0], *OUTCOMES)),
        "item 0 is doubled: 2 times in pages",
    ),
    "doubled in rows": (
        replace(GOOD, rows=(*OUTCOMES, replace(OUTCOMES[3], sequence=5))),
        "item 3 is doubled: 2 times in rows",
    ),
    "doubled to a watcher": (
        watching(*TOLD[:2], TOLD[1], *TOLD[2:], ended_after=5),
        "watch w: outcome 2 came after 2: doubled",
    ),
    "doubled to a watcher after a resume": (
        watching(*TOLD[:3], *TOLD[1:], ended_after=6),
        "watch w: outcome 2 came after 3: doubled",
    ),
    "doubled under another number": (
        watching(*TOLD, replace(TOLD[0], sequence=5), ended_after=5),
        "watch w: item 2 is doubled: told of 2 times",
    ),
    "reordered in pages": (
        replace(GOOD, pages=(OUTCOMES[1], OUTCOMES[0], *OUTCOMES[2:])),
        "pages are reordered",
    ),
    "reordered to a watcher": (
        watching(TOLD[0], TOLD[2], TOLD[1], TOLD[3], ended_after=4),
        "watch w: outcome 2 came after 3: reordered",
    ),
    "a number twice": (
        replace(GOOD, pages=(*OUTCOMES[:3], replace(OUTCOMES[3], sequence=2))),
        "sequence 2 is doubled",
    ),
    "a gap in the numbers": (
        replace(GOOD, pages=(replace(OUTCOMES[0], sequence=7), *OUTCOMES[1:])),
        "sequence 2 is missing",
    ),
    "counter above the rows": (
        replace(GOOD, counters=replace(GOOD.counters, successful_items=4)),
        "successful_items is 4, but the rows give 3",
    ),
    "processed below the rows": (
        replace(GOOD, counters=replace(GOOD.counters, processed_items=3)),
        "processed_items is 3, but the rows give 4",
    ),
    "failure counts": (
        replace(GOOD, counters=replace(GOOD.counters, failure_counts={"timeout": 1})),
        "failure_counts is {'timeout': 1}, but the rows give {'decode_failed': 1}",
    ),
    "wrong terminal status": (
        replace(GOOD, counters=replace(GOOD.counters, status="completed")),
        "status is completed, but the rows give partially_completed",
    ),
    "not ended": (
        replace(GOOD, counters=replace(GOOD.counters, status="processing")),
        "status is processing, but the rows give partially_completed",
    ),
    "a watcher was told otherwise": (
        watching(replace(TOLD[0], status="failed", error_code="timeout"), *TOLD[1:], ended_after=4),
        "status='failed', error_code='timeout') in the watch, Outcome(item_index=2, item_id='c', sequence=1",
    ),
    "pages differ from rows": (
        replace(GOOD, pages=(*OUTCOMES[:3], replace(OUTCOMES[3], status="failed", error_code="timeout"))),
        "item 3 differs",
    ),
    "the end came early": (watching(*TOLD, ended_after=2), "watch w: 2 outcomes came after the terminal status"),
    "the end never came": (
        watching(*TOLD[:2], ended_after=None),
        "watch w: it was never told of the end; 2 of 4 items had come",
    ),
    "an outcome that can't be": (
        replace(GOOD, allowed=(frozenset({"timeout"}),)),
        "item 0 ended as success, but may only as ['timeout']",
    ),
    "an item that nobody submitted": (
        replace(GOOD, pages=(*OUTCOMES, Outcome(4, "e", 5, "success"))),
        "item 4 of pages was never submitted",
    ),
    "another's id": (
        replace(GOOD, pages=(replace(OUTCOMES[0], item_id="z"), *OUTCOMES[1:])),
        "item 0 is z in pages, not a",
    ),
    "what the audit says": (replace(GOOD, audit=("2 outcomes belong to no item",)), "audit: 2 outcomes belong"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_defect_is_seen(name: str) -> None:
    evidence, words = BROKEN[name]
    assert any(words in defect for defect in defects(evidence)), defects(evidence)


def test_a_batch_that_was_deleted_and_is_there_is_seen() -> None:
    assert submission_defects({"r": ["x"]}, {"x": "r"}, ["x"]) == ["batch x was deleted, and is still there"]


def test_images_that_are_well_pass() -> None:
    cut_submit = {"young": 60.0}
    assert blob_defects({"a", "b"}, {"a": 9e9, "b": 0.0, **cut_submit}) == []


def test_a_missing_blob_is_seen() -> None:
    assert blob_defects({"a", "b"}, {"b": 1.0}) == ["object a is missing: it has a row and no blob"]


def test_an_orphaned_blob_is_seen() -> None:
    assert blob_defects({"a"}, {"a": 1.0, "b": 72 * 3_600.0}) == ["blob b is orphaned: it has no row, and is 72 h old"]


@pytest.mark.parametrize(
    ("answers", "listed", "words"),
    [
        ({"r": ["x"]}, {}, "request r was answered with batch x, which is lost"),
        ({"r": ["x", "y"]}, {"x": "r", "y": "r"}, "request r was answered with 2 batches"),
        ({"r": ["x"]}, {"x": "r", "y": "r"}, "request r made 2 batches"),
        ({"r": []}, {"x": "r", "y": "q"}, "batch y was never submitted"),
    ],
)
def test_a_defect_of_submits_is_seen(answers: dict[str, list[str]], listed: dict[str, str], words: str) -> None:
    assert words in submission_defects(answers, listed)
