"""docs/log-events.md lists every event that the source can log, with its level, and no other one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "log-events.md"
LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "error": "error",
    "exception": "error",
    "critical": "critical",
}
DOTTED = re.compile(r"[a-z_]+(\.[a-z_]+)+")


def logged_events() -> Iterator[tuple[str, str, str]]:
    """Find each call of a module's logger: where it stands, the event and its level."""
    for path in sorted((ROOT / "server").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                logger = node.func.value
                if isinstance(logger, ast.Name) and logger.id in ("log", "_log"):
                    event = ast.literal_eval(node.args[0])
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", event, LEVELS[node.func.attr]


def listed_events() -> list[tuple[str, str]]:
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \| .+ \| .+ \|$", PAGE.read_text(), re.MULTILINE)
    return [(event, level) for event, level in rows]


def test_the_page_lists_what_is_logged() -> None:
    assert set(listed_events()) == {(event, level) for _, event, level in logged_events()}


def test_every_event_is_a_stable_dotted_name() -> None:
    assert [(place, event) for place, event, _ in logged_events() if not DOTTED.fullmatch(event)] == []


def test_the_page_lists_each_event_once_and_in_order() -> None:
    names = [event for event, _ in listed_events()]
    assert names == sorted(set(names))
