"""Hold together what was asked of a server, what watchers were told, what pages say and what rows hold; pure.

Every function answers what is wrong in words, nothing if all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

OUTCOME_STATUSES = ("success", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One item as a watcher was told of it, as a page shows it or as a row holds it; `sequence` 0: no outcome yet."""

    item_index: int
    item_id: str
    sequence: int
    status: str
    error_code: str | None = None

    @property
    def kind(self) -> str:
        """`success`, or the code of what went wrong."""
        return self.error_code or self.status


@dataclass(frozen=True, slots=True)
class Watch:
    """What one watcher was told over all its streams, in order of arrival.

    `ended_after` is how many outcomes had come when a terminal status did; None: none came.
    """

    name: str
    outcomes: Sequence[Outcome]
    ended_after: int | None


@dataclass(frozen=True, slots=True)
class Counters:
    """The figures of a batch's status."""

    status: str
    total_items: int
    processed_items: int
    successful_items: int
    failed_items: int
    skipped_items: int
    failure_counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one batch that has ended.

    `allowed` are the kinds of outcome that each item may have, by index; an empty list lets anything pass. `retried`:
    whether RetryBatch took outcomes away, so that numbers may be missing and an item may have been told of before.
    """

    batch_id: str
    item_ids: Sequence[str]
    allowed: Sequence[frozenset[str]]
    pages: Sequence[Outcome]
    rows: Sequence[Outcome]
    counters: Counters
    watches: Sequence[Watch]
    audit: Sequence[str] = ()
    cancelled: bool = False
    retried: bool = False


ORPHANED_AFTER_S = 2 * 86_400.0
"""A cut submit may leave a blob without a row, which is to be set aside a day later."""


def blob_defects(rows: Collection[str], blob_ages_s: Mapping[str, float]) -> list[str]:
    """Find what is wrong with a store's images: `rows` are the database's keys, the ages those of blobs, by key."""
    missing = [f"object {key} is missing: it has a row and no blob" for key in rows if key not in blob_ages_s]
    orphaned = [
        f"blob {key} is orphaned: it has no row, and is {age_s / 3_600:.0f} h old"
        for key, age_s in blob_ages_s.items()
        if key not in rows and age_s > ORPHANED_AFTER_S
    ]
    return missing + orphaned


def defects(evidence: Evidence) -> list[str]:
    """Find what is wrong with a batch."""
    found = [
        *(f"audit: {finding}" for finding in evidence.audit),
        *_listing(evidence, "pages", evidence.pages),
        *_listing(evidence, "rows", evidence.rows),
        *_differences(evidence.pages, "pages", evidence.rows, "rows"),
        *_numbers(evidence.pages, retried=evidence.retried),
        *_counters(evidence),
        *_kinds(evidence),
    ]
    for watch in evidence.watches:
        found += [f"watch {watch.name}: {finding}" for finding in _watch(evidence, watch)]
    return [f"batch {evidence.batch_id}: {finding}" for finding in found]


def submission_defects(
    answers: Mapping[str, Sequence[str]], listed: Mapping[str, str], deleted: Collection[str] = ()
) -> list[str]:
    """Find what is wrong with submits.

    `answers` has the batch ids that each request_id was answered with, over all its repeats; `listed` the request_id of
    each batch that there is in the end; `deleted` are batches whose deletion was answered.
    """
    found = [f"batch {batch_id} was deleted, and is still there" for batch_id in deleted if batch_id in listed]
    for request_id, batch_ids in answers.items():
        if len(set(batch_ids)) > 1:
            found.append(f"request {request_id} was answered with {len(set(batch_ids))} batches")
        found += [
            f"request {request_id} was answered with batch {batch_id}, which is lost"
            for batch_id in dict.fromkeys(batch_ids)
            if batch_id not in listed and batch_id not in deleted
        ]
    made = Counter(listed.values())
    found += [f"request {request_id} made {number} batches" for request_id, number in made.items() if number > 1]
    found += [f"batch {batch_id} was never submitted" for batch_id, of in listed.items() if of not in answers]
    return found


def _listing(evidence: Evidence, where: str, items: Sequence[Outcome]) -> list[str]:
    """Whether each item stands there once, in its place, with an outcome."""
    indexes = [item.item_index for item in items]
    times = Counter(indexes)
    found = [f"item {index} is lost: not in {where}" for index in range(len(evidence.item_ids)) if index not in times]
    found += [f"item {index} is doubled: {number} times in {where}" for index, number in times.items() if number > 1]
    found += [f"item {index} of {where} was never submitted" for index in times if index >= len(evidence.item_ids)]
    if indexes != sorted(indexes):
        found.append(f"{where} are reordered")
    for item in items:
        if item.item_index < len(evidence.item_ids) and item.item_id != evidence.item_ids[item.item_index]:
            found.append(
                f"item {item.item_index} is {item.item_id} in {where}, not {evidence.item_ids[item.item_index]}"
            )
        if item.status not in OUTCOME_STATUSES or not item.sequence:
            found.append(f"item {item.item_index} is lost: {item.status} in {where}, without an outcome")
    return found


def _differences(some: Sequence[Outcome], here: str, others: Sequence[Outcome], there: str) -> list[str]:
    """Whether items that stand in both are the same."""
    known = {other.item_index: other for other in others}
    return [
        f"item {one.item_index} differs: {one} in {here}, {known[one.item_index]} in {there}"
        for one in some
        if one.item_index in known and known[one.item_index] != one
    ]


def _numbers(outcomes: Sequence[Outcome], *, retried: bool) -> list[str]:
    """Whether the outcomes' sequences are each their own, and 1 to n unless there was a retry."""
    times = Counter(outcome.sequence for outcome in outcomes if outcome.sequence)
    found = [f"sequence {sequence} is doubled" for sequence, number in times.items() if number > 1]
    if not retried:
        missing = sorted(set(range(1, max(times, default=0) + 1)) - set(times))
        found += [f"sequence {sequence} is missing" for sequence in missing]
    return found


def _counters(evidence: Evidence) -> list[str]:
    """Whether the batch's figures and status are what its rows give."""
    of_status = Counter(row.status for row in evidence.rows)
    of_code = Counter(row.error_code for row in evidence.rows if row.status == "failed")
    counters = evidence.counters
    given = {
        "total_items": (counters.total_items, len(evidence.item_ids)),
        "processed_items": (counters.processed_items, sum(of_status[status] for status in OUTCOME_STATUSES)),
        "successful_items": (counters.successful_items, of_status["success"]),
        "failed_items": (counters.failed_items, of_status["failed"]),
        "skipped_items": (counters.skipped_items, of_status["skipped"]),
        "failure_counts": (dict(counters.failure_counts), dict(of_code)),
        "status": (counters.status, _terminal_status(of_status, cancelled=evidence.cancelled)),
    }
    return [f"{name} is {told}, but the rows give {true}" for name, (told, true) in given.items() if told != true]


def _terminal_status(of_status: Counter[str], *, cancelled: bool) -> str:
    if cancelled:
        return "cancelled"
    if not of_status["failed"]:
        return "completed"
    return "partially_completed" if of_status["success"] else "failed"


def _kinds(evidence: Evidence) -> list[str]:
    """Whether each item ended as it may."""
    found = []
    for row in evidence.rows:
        allowed = evidence.allowed[row.item_index] if row.item_index < len(evidence.allowed) else frozenset()
        if allowed and row.kind not in allowed:
            found.append(f"item {row.item_index} ended as {row.kind}, but may only as {sorted(allowed)}")
    return found


def _watch(evidence: Evidence, watch: Watch) -> list[str]:
    """Whether a watcher was told everything once, in order, truly, and of the end last."""
    sequences = [outcome.sequence for outcome in watch.outcomes]
    found = [
        f"outcome {later} came after {earlier}: "
        + ("doubled" if later == earlier or later in sequences[:position] else "reordered")
        for position, (earlier, later) in enumerate(pairwise(sequences), start=1)
        if later <= earlier
    ]
    found += _numbers(watch.outcomes, retried=evidence.retried)
    told = {
        outcome.item_index: outcome for outcome in watch.outcomes
    }  # the last of each: a retry may have made another
    if not evidence.retried:
        times = Counter(outcome.item_index for outcome in watch.outcomes)
        found += [f"item {index} is doubled: told of {number} times" for index, number in times.items() if number > 1]
    if watch.ended_after is None:
        found.append(f"it was never told of the end; {len(told)} of {len(evidence.item_ids)} items had come")
    elif watch.ended_after < len(watch.outcomes):
        found.append(f"{len(watch.outcomes) - watch.ended_after} outcomes came after the terminal status")
    missing = [index for index in range(len(evidence.item_ids)) if index not in told]
    if watch.ended_after is not None:
        found += [f"item {index} is lost: the terminal status came without it" for index in missing]
    found += _differences(list(told.values()), "the watch", evidence.pages, "pages")
    return found
