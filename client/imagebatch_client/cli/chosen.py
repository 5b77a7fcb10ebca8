"""Which batches a verb is meant for: whole ids, short ones, `latest`, or all that have a label or a state."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import usage_error
from imagebatch_client.cli.terminal import note
from imagebatch_client.sync import BatchClient
from imagebatch_client.texts import spaced
from imagebatch_client.types import BatchStatus, BatchStatusResult

LATEST = "latest"
RUNNING = frozenset({BatchStatus.PENDING, BatchStatus.PROCESSING})
_WHOLE_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHORT_ID = re.compile(r"[0-9a-fA-F-]{4,35}")
_LOOKED_THROUGH = 1_000


def batch_id(client: BatchClient, typed: str) -> str:
    """Find the id that was meant: a whole one, `latest`, or one of the newest batches by its first or last digits.

    Raises InvalidRequestError for what is no id, and if there is no such batch, or more than one.
    """
    if typed == LATEST:
        newest = next(client.list_batches(page_size=1), None)
        if newest is None:
            raise usage_error("BATCH_ID", "there is no batch yet; submit one first")
        return newest.batch_id
    if _WHOLE_ID.fullmatch(typed):
        return typed
    if not _SHORT_ID.fullmatch(typed):
        raise usage_error(
            "BATCH_ID",
            f"{typed!r} is no batch's id; give at least 4 characters of one, an id from `imagebatch list`, or latest",
        )
    short = typed.lower()
    looked_through = islice(client.list_batches(page_size=_LOOKED_THROUGH), _LOOKED_THROUGH)
    ids = [batch.batch_id for batch in looked_through]
    found = [each for each in ids if each.startswith(short) or each.endswith(short)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise usage_error("BATCH_ID", f"none of the newest {_LOOKED_THROUGH:,} begins or ends with {typed!r}")
    raise usage_error("BATCH_ID", f"{typed!r} is short for {len(found)} batches, such as {found[0]} and {found[1]}")


def batch_ids(
    client: BatchClient,
    typed: Sequence[str],
    *,
    verb: str,
    labels: Sequence[str],
    statuses: Sequence[BatchStatus],
    possible: frozenset[BatchStatus],
    refused_else: str | None = None,
    is_sure: bool,
) -> list[str]:
    """List the batches that were named, or else those with the labels and states, after a question.

    `possible` are the states in which the verb does anything; `refused_else` says what to do first where the server
    refuses the others. Raises InvalidRequestError for both or neither, and for a batch that would be refused.
    """
    by_filter = bool(labels or statuses)
    if by_filter == bool(typed):
        raise usage_error("BATCH_ID", "give ids, or --label and --status, and not both")
    if typed:
        ids = list(dict.fromkeys(batch_id(client, each) for each in typed))
        if len(ids) > 1:
            _check(client, ids, possible, refused_else)
        return ids
    if impossible := set(statuses) - possible:
        raise usage_error("--status", f"a batch that is {spaced(min(impossible))} can't be chosen to {verb}")
    wanted = sorted(set(statuses) or possible)
    found = list(client.list_batches(statuses=wanted, labels=options.pairs("--label", labels), page_size=1000))
    if found and not is_sure and not _agreed(found, verb):
        raise typer.Exit(0)
    if not found:
        note(f"There is nothing to {verb}.")
    return [each.batch_id for each in found]


def _check(client: BatchClient, ids: Sequence[str], possible: frozenset[BatchStatus], refused_else: str | None) -> None:
    """Ask for each of several, so that a wrong one is told before anything is done to the others."""
    found = [client.get_status(each) for each in ids]
    refused = [batch for batch in found if refused_else is not None and batch.status not in possible]
    if refused:
        problems = [f"{batch.batch_id} is {spaced(batch.status)}; {refused_else}" for batch in refused]
        raise usage_error("BATCH_ID", *problems)


def _agreed(found: Sequence[BatchStatusResult], verb: str) -> bool:
    for batch in found[:10]:
        items = render.counted(batch.total_items, "item", "items")
        note(f"  {batch.batch_id}  {spaced(batch.status)}  {batch.operation}  {items}")
    if len(found) > 10:
        note(f"  and {len(found) - 10} more")
    batches = render.counted(len(found), "batch", "batches")
    return options.agreed(f"{verb.capitalize()} {batches}?", f"to {verb} {batches}")
