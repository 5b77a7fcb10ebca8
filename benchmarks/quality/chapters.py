"""RESULTS.md, chapter by chapter: each is measured by a command of its own and leaves the others as they are."""

from __future__ import annotations

import re
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
DESCRIBE, TEXT = "Quality of `describe`", "Text, old beside new"
STATEMENTS, BESIDE = "Statements, old beside new", "Old beside new"
VERIFY, SPEED = "Quality of `verify`", "Speed"
DESCRIBE_SPEED = "Speed of `describe`, old beside new"


def write(title: str, text: str, path: Path = RESULTS) -> None:
    """Put a chapter, without its title, in the place of the one of that title."""
    chapters = _read(path) | {title: text.strip()}
    order = DESCRIBE, STATEMENTS, BESIDE, TEXT, VERIFY, DESCRIBE_SPEED, SPEED
    parts = [f"# {it}\n\n{chapters[it]}\n" for it in order if it in chapters]
    path.write_text("\n".join(parts), encoding="utf-8")


def _read(path: Path) -> dict[str, str]:
    parts = re.split(r"^# (.+)$", path.read_text(encoding="utf-8") if path.exists() else "", flags=re.MULTILINE)
    return {title: text.strip() for title, text in zip(parts[1::2], parts[2::2], strict=True)}
