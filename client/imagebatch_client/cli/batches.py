"""`imagebatch status`, `cancel`, `retry`, `delete` and `list`: batches as wholes."""

from __future__ import annotations

import sys
from itertools import islice
from typing import Annotated

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import connect, note
from imagebatch_client.types import BatchStatus, BatchStatusResult, ItemErrorCode


def status(ctx: typer.Context, batch_id: options.BatchId, as_json: options.AsJson = False) -> None:
    """Print where a batch stands.

    \b
    Example:
      imagebatch status BATCH_ID
    """
    with connect(ctx) as client:
        _print_status(client.get_status(batch_id), as_json)


def cancel(ctx: typer.Context, batch_id: options.BatchId, as_json: options.AsJson = False) -> None:
    """Cancel a batch; its results so far are kept.

    What is being worked on finishes, all else is skipped.

    \b
    Example:
      imagebatch cancel BATCH_ID
    """
    with connect(ctx) as client:
        answer = client.cancel(batch_id)
    _print_status(answer, as_json)
    if answer.is_terminal() and answer.status is not BatchStatus.CANCELLED:
        note(f"The batch had already ended: {render.spaced(answer.status)}.")


def retry(
    ctx: typer.Context,
    batch_id: options.BatchId,
    error_code: Annotated[
        list[ItemErrorCode] | None,
        typer.Option(
            metavar="CODE", help="Only items that failed with this code, such as timeout. Repeatable. Default: all."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Run the failed items of an ended batch again.

    They keep their ids; watch the batch again to see them finish.

    \b
    Examples:
      imagebatch retry BATCH_ID
      imagebatch retry BATCH_ID --error-code fetch_failed --error-code timeout
    """
    with connect(ctx) as client:
        _print_status(client.retry(batch_id, error_code or []), as_json)


def delete(
    ctx: typer.Context,
    batch_ids: Annotated[list[str], typer.Argument(metavar="BATCH_ID", help="Ids of batches that have ended.")],
) -> None:
    """Delete batches that have ended, with their results.

    \b
    Example:
      imagebatch delete BATCH_ID
    """
    with connect(ctx) as client:
        for batch_id in batch_ids:
            client.delete(batch_id)
            note(f"Deleted {batch_id}.")


def list_batches(
    ctx: typer.Context,
    status: Annotated[
        list[BatchStatus] | None,
        typer.Option(
            metavar="STATE",
            help="Only pending, processing, completed, failed, cancelled or partially_completed. Repeatable.",
        ),
    ] = None,
    operation: Annotated[str | None, typer.Option(metavar="NAME", help="Only batches of this operation.")] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only batches with this label. Repeatable: with all of them."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Most batches to print.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List batches, the newest first.

    \b
    Examples:
      imagebatch list
      imagebatch list --status processing --label run=nightly --json
    """
    labels = options.pairs("--label", label or [])
    with connect(ctx) as client:
        found = client.list_batches(
            statuses=status or [], operation=operation, labels=labels, page_size=min(limit, 1000)
        )
        batches = list(islice(found, limit))
    if as_json:
        for batch in batches:
            sys.stdout.write(f"{render.as_json(batch)}\n")
        return
    rows = [("BATCH", "CREATED", "OPERATION", "STATUS", "DONE", "FAILED", "LABELS")]
    rows += [
        (
            batch.batch_id,
            render.local_time(batch.created_at),
            render.one_line(batch.operation),
            render.spaced(batch.status),
            f"{batch.processed_items}/{batch.total_items}",
            str(batch.failed_items or ""),
            _labels(batch),
        )
        for batch in batches
    ]
    sys.stdout.writelines(f"{line}\n" for line in render.aligned(rows))
    note(f"{len(batches)} batches." if len(batches) < limit else f"The newest {limit}; more with --limit.")


def _print_status(status: BatchStatusResult, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(f"{render.as_json(status)}\n")
        return
    cancelling = " (cancelling)" if status.cancel_requested_at and not status.is_terminal() else ""
    mean = "" if status.avg_processing_time_ms is None else f"{status.avg_processing_time_ms} ms an item on average"
    lines = {
        "batch": status.batch_id,
        "status": f"{render.spaced(status.status)}{cancelling}",
        "operation": render.one_line(status.operation),
        "parameters": render.as_json(status.parameters) if status.parameters else "",
        "labels": _labels(status),
        "items": f"{status.processed_items} of {status.total_items} done: {render.counts(status)}",
        "failures": render.failures(status),
        "created": render.local_time(status.created_at),
        "started": render.local_time(status.started_at),
        "completed": render.local_time(status.completed_at),
        "expected end": render.local_time(status.estimated_completion_time),
        "time": mean,
    }
    for name, text in lines.items():
        if text:
            sys.stdout.write(f"{name:<13} {text}\n")


def _labels(status: BatchStatusResult) -> str:
    return render.one_line(", ".join(f"{key}={value}" for key, value in sorted(status.labels.items())))
