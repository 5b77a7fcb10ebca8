"""What a watch shows: a live bar with items above it, plain lines, or JSON Lines."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, Task, TextColumn
from rich.text import Text

from imagebatch_client import shown
from imagebatch_client.cli import render
from imagebatch_client.cli.terminal import console, note, put
from imagebatch_client.types import BatchItemResult, BatchStatusResult

# The server sends a message every 5 s at least; after this long without one, the person is told.
_SILENCE_SHOWN_S = 8.0


class Display(Protocol):
    """Where a watch puts what it sees."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def item(self, result: BatchItemResult) -> None:
        """Show that an item has its outcome."""

    def status(self, status: BatchStatusResult) -> None:
        """Show how far the batch has got."""

    def waits(self, why: str) -> None:
        """Show why nothing happens; empty if something does."""


def display_for(as_json: bool, total_items: int) -> Display:
    """Choose the display that fits where the output goes."""
    if as_json:
        return Lines(render.as_json)
    out, err = console(), console(stderr=True)
    if out.is_terminal:
        return LiveBar(out, out, total_items)
    if err.is_terminal:
        return LiveBar(out, err, total_items)
    return Lines(plain_line)


def plain_line(result: BatchItemResult) -> str:
    return f"{result.status:<7}  {shown.name(result)}  {shown.outcome(result)}"


class Lines:
    """One line an item, for files, pipes and logs."""

    def __init__(self, line: Callable[[BatchItemResult], str]) -> None:
        self._line = line
        self._told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def item(self, result: BatchItemResult) -> None:
        put(self._line(result))

    def status(self, status: BatchStatusResult) -> None:
        sys.stdout.flush()  # once a message, so that a reader of the pipe is never behind

    def waits(self, why: str) -> None:
        if why and why != self._told:
            note(f"Waiting {why}.")
        self._told = why


class LiveBar:
    """Items as they finish, above a bar with counts, rate and the time left."""

    def __init__(self, out: Console, bar_console: Console, total_items: int) -> None:
        self._out = out
        self._rate = Rate()
        self._heard = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("[green]{task.fields[succeeded]} ok[/] [red]{task.fields[failed]} failed[/]"),
            SinceHeard(lambda: time.monotonic() - self._heard),
            console=bar_console,
            expand=True,
        )
        self._task = self._bar.add_task("", total=total_items, succeeded=0, failed=0, pace="", why="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def item(self, result: BatchItemResult) -> None:
        self._heard = time.monotonic()
        line = Text.assemble(
            (f"{result.status:<7}", render.ITEM_STYLES[result.status]),
            "  ",
            (shown.name(result), "bold"),
            "  ",
            shown.outcome(result),
        )
        if self._out.is_terminal:
            self._out.print(line, no_wrap=True, overflow="ellipsis")
        else:
            put(line.plain)

    def waits(self, why: str) -> None:
        self._bar.update(self._task, why=f"waiting {why}" if why else "")

    def status(self, status: BatchStatusResult) -> None:
        self._heard = time.monotonic()
        self._rate.saw(self._heard, status.processed_items)
        self._bar.update(
            self._task,
            total=status.total_items,
            completed=status.processed_items,
            succeeded=status.successful_items,
            failed=status.failed_items,
            pace=pace(status, self._rate.per_s()),
        )
        sys.stdout.flush()


class SinceHeard(TextColumn):
    """The pace, or, when the server has fallen silent, for how long."""

    def __init__(self, silent_s: Callable[[], float]) -> None:
        super().__init__("")
        self._silent_s = silent_s

    def render(self, task: Task) -> Text:
        silent_s = self._silent_s()
        if silent_s > _SILENCE_SHOWN_S:
            return Text(f"no word from the server for {silent_s:.0f} s", style="yellow")
        return Text(task.fields["why"] or task.fields["pace"])


class Rate:
    """Outcomes a second over the last half minute."""

    def __init__(self, window_s: float = 30.0) -> None:
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, time_s: float, processed: int) -> None:
        self._seen.append((time_s, processed))
        while time_s - self._seen[0][0] > self._window_s:
            self._seen.popleft()

    def per_s(self) -> float | None:
        """None until there is something to judge from."""
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_s - first_s) if last_s - first_s >= 0.5 else None


def pace(status: BatchStatusResult, per_s: float | None) -> str:
    """Rate and time left, such as "12.3/s, 35 s to 52 s left"."""
    parts = [] if per_s is None else [f"{per_s:.1f}/s"]
    if status.is_terminal():
        return parts[0] if parts else ""
    if status.paused_at is not None:
        return "paused"
    if status.estimated_completion_time is not None:
        now, found = datetime.now(UTC), status.completion_range
        left = render.duration((status.estimated_completion_time - now).total_seconds())
        if found is not None:
            ends = ((end - now).total_seconds() for end in (found.earliest, found.latest))
            left = " to ".join(dict.fromkeys(map(render.duration, ends)))
        parts.append(f"{left} left")
    return ", ".join(parts)
