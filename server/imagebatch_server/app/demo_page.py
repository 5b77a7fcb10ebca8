"""What `imagebatch demo --page` does: batches to look at in a browser, one of them with files that must fail."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

_SHOPPING = b"Milk, eggs, bread. This is a list and no picture, whatever its name says."
_PAGE = ", page at "


def spoilt(folder: Path) -> Sequence[str]:
    """Make files that are no whole pictures, so that failures are seen too; answers their paths."""
    made = folder / "shopping-list.jpg"
    made.write_bytes(_SHOPPING)
    return [str(made)]


def submits(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """Give the arguments of `imagebatch` by which batches are submitted, that which takes longest last."""
    for operation in ("thumbnail", "verify", "describe"):
        yield ("submit", *paths, "--operation", operation, "--label", "from=demo")


def show_page(told: str, token_file: str | None) -> None:
    """Say where the page is, from what the server told, and what to type; return at Ctrl-C or SIGTERM."""
    url = told.partition(_PAGE)[2].partition(",")[0]
    typer.echo(f"\nOpen {url} in a browser.")
    if token_file is not None:
        typer.echo(
            "The browser does not know the demo's authority: let it go on all the same.\n"
            f"The page asks for a token: {Path(token_file).read_text().strip()}"
        )
    typer.echo("Ctrl-C ends the server and removes what it stored.")
    sys.stdout.flush()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    ended.wait()
