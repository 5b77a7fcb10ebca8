"""Draw what a command printed as a terminal: `imagebatch demo | head -16 | terminal_picture.py docs/terminal.svg`."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

_COLUMNS = 120
_FONTS = re.compile(r"@font-face \{.*?\}|<!-- Generated with Rich [^>]*-->", re.DOTALL)
_COLOURS = {r"^\$ .*": "bold", r"^success": "green", r"^failed": "red"}


def draw(printed: str) -> str:
    """Make the SVG."""
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    for line in printed.splitlines():
        text = Text(line)
        for pattern, style in _COLOURS.items():
            text.highlight_regex(pattern, style)
        console.print(text, overflow="ellipsis", no_wrap=True)
    drawn = console.export_svg(title="imagebatch demo")
    return _FONTS.sub("", drawn)  # a picture that asks for nothing elsewhere


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(sys.stdin.read()), "utf-8")
