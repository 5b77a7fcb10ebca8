"""What reaches the terminal: results on standard output, words on standard error, and nothing that steers it.

Texts come from images, files and servers. Whatever is written goes through `put` or `note`, or through `one_line` on
its way into a table.
"""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from contextlib import suppress
from typing import TextIO

from rich.console import Console

# Control characters, marks that turn the direction of text around, private and surrogate code points, line separators.
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # of emoji, and of letters in Persian and Indic scripts: they only join
_MARK = "\x00"
_MARKS = re.compile(f"{_MARK}+")


def safe(text: str) -> str:
    """`text` with a space for each run of characters that a terminal acts on, line breaks included."""
    if text.isprintable():
        return text
    return _MARKS.sub(" ", "".join(_MARK if _steers(character) else character for character in text))


def one_line(text: str) -> str:
    """Clean the text, and strip the space around it."""
    return safe(text).strip()


def escaped(json_text: str) -> str:
    r"""JSON with `\u` escapes for such characters, which stand in its strings alone."""
    if json_text.isprintable():
        return json_text
    return "".join(json.dumps(character)[1:-1] if _steers(character) else character for character in json_text)


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


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _STEERING and character not in _JOINERS
