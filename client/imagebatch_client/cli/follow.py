"""Watching a batch to its end, for `watch` and for `submit --watch`."""

from __future__ import annotations

from collections.abc import Sequence

from imagebatch_client.cli import exits, render
from imagebatch_client.cli.progress import display_for
from imagebatch_client.cli.terminal import note
from imagebatch_client.errors import BatchTimeoutError, ImagebatchError, UnavailableError
from imagebatch_client.sync import BatchClient
from imagebatch_client.types import BatchItemStatus, BatchStatusResult


def follow(
    client: BatchClient,
    batch_id: str,
    *,
    after_sequence: int = 0,
    timeout: float | None = None,
    statuses: Sequence[BatchItemStatus] = (),
    as_json: bool = False,
) -> int:
    """Show each item as it finishes until the batch has ended, and answer the exit code."""
    # Tells at once of a wrong id or address; the watch itself would be patient with a server that is away.
    last: BatchStatusResult = client.get_status(batch_id)
    shown = after_sequence
    try:
        with display_for(as_json, last.total_items) as display:
            display.status(last)
            for update in client.watch_updates(batch_id, after_sequence, statuses=statuses, timeout=timeout):
                for result in update.results:
                    display.item(result)
                    shown = result.sequence or shown
                shown = update.sequence
                last = update.status or last
                display.status(last)
                display.waits("" if update.results or last.is_terminal() else why_waiting(client, batch_id))
    except KeyboardInterrupt:
        note(resume_note(batch_id))
        note(resume_hint(batch_id, shown))
        return exits.INTERRUPTED
    except UnavailableError:
        note(resume_hint(batch_id, shown))
        raise
    except BatchTimeoutError as error:
        note(f"imagebatch: {error}")
        note(resume_hint(batch_id, shown))
        return exits.TIMED_OUT
    note(render.ending(last))
    tell_failures(last)
    return exits.of_batch(last.status)


def why_waiting(client: BatchClient, batch_id: str) -> str:
    """Ask why nothing happens, which a watch does not tell; empty where nothing is known."""
    try:
        waiting = client.get_status(batch_id).waiting
    except ImagebatchError:  # the watch itself tells of it, and is patient
        return ""
    return "" if waiting is None else render.waiting(waiting)


def tell_failures(status: BatchStatusResult) -> None:
    """Say why items failed, and where to read it."""
    if status.failed_items:
        note(f"Failures: {render.failures(status)}.")
        note(f"See them with: imagebatch results {status.batch_id} --failed-only")
        note(f"See what they have in common with: imagebatch failures {status.batch_id}")


def resume_hint(batch_id: str, after_sequence: int) -> str:
    return f"Go on watching with: imagebatch watch {batch_id} --after-sequence {after_sequence}"


def resume_note(batch_id: str) -> str:
    return f"Stopped watching; batch {batch_id} goes on. Cancel it with: imagebatch cancel {batch_id}"
