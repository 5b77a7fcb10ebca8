"""What reaches the terminal: results on standard output, words on standard error, and nothing that steers it.

Texts come from images, files and servers. Whatever is written goes through `put` or `note`, or through
`texts.one_line` on its way into a table.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

from rich.console import Console

from imagebatch_client.texts import safe


def put(text: str) -> None:
    """Write a result to standard output, as one line or several."""
    sys.stdout.write(f"{_safe_lines(text)}\n")


def note(text: str) -> None:
    """Says something to the person; standard output is for results."""
    try:
        sys.stderr.write(f"{_safe_lines(text)}\n")
        sys.stderr.flush()
    except OSError:  # full: there is nobody to tell
        discard(sys.stderr)


def console(*, stderr: bool = False) -> Console:
    """Make the console for tables and bars. With NO_COLOR it has no styles: Rich alone would keep bold and dim."""
    return Console(stderr=stderr, highlight=False, color_system=None if os.environ.get("NO_COLOR") else "auto")


def discard(stream: TextIO) -> None:
    """Lets a stream that can't be written go nowhere, so that the interpreter does not try again at its end."""
    with suppress(OSError, ValueError):  # it has no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _safe_lines(text: str) -> str:
    return "\n".join(map(safe, text.split("\n")))
