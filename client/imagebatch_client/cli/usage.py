"""`imagebatch usage`: what the caller's tenant has used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Annotated

import typer

from imagebatch_client.cli import options, render
from imagebatch_client.cli.connection import connect
from imagebatch_client.cli.terminal import note, put
from imagebatch_client.texts import one_line
from imagebatch_client.types import DailyUsage

_COLUMNS = ("ITEMS", "PROCESSING", "IMAGES", "INPUT TOKENS", "OUTPUT TOKENS")


def usage(
    ctx: typer.Context,
    day_from: Annotated[
        str | None,
        typer.Option(
            "--day-from", metavar="DAY", help="The first day, such as 2026-01-31, in UTC. Default: 30 days ago."
        ),
    ] = None,
    day_before: Annotated[
        str | None, typer.Option("--day-before", metavar="DAY", help="The day after the last. Default: tomorrow.")
    ] = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="A line for each day.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print what your tenant has used.

    By operation: items, time, bytes of images, tokens of models. Batches that were deleted since count too; skipped
    items don't. With --json, always by day.

    \b
    Examples:
      imagebatch usage
      imagebatch usage --day-from 2026-01-01 --day-before 2026-02-01 --by-day
      imagebatch usage --tenant cats --json
    """
    with connect(ctx) as client:
        used = client.get_usage(day_from, day_before)
    if as_json:
        for each in used:
            put(render.as_json(each))
        return
    if not used:
        note("Nothing was used in that time.")
        return
    lines: dict[tuple[str, ...], list[DailyUsage]] = defaultdict(list)
    for each in used:
        lines[(each.day, each.operation) if by_day else (each.operation,)].append(each)
    names = ("DAY", "OPERATION") if by_day else ("OPERATION",)
    rows = [(*names, *_COLUMNS), *((*map(one_line, key), *_sums(lines[key])) for key in sorted(lines))]
    if len(lines) > 1:
        rows.append(("total", *([""] * (len(names) - 1)), *_sums(used)))
    put("\n".join(render.aligned(rows)))


def _sums(used: Iterable[DailyUsage]) -> tuple[str, ...]:
    used = list(used)
    return (
        f"{sum(each.items for each in used):,}",
        render.duration(sum(each.processing_time_ms for each in used) / 1000),
        render.size(sum(each.image_bytes for each in used)),
        f"{sum(each.input_tokens for each in used):,}",
        f"{sum(each.output_tokens for each in used):,}",
    )
