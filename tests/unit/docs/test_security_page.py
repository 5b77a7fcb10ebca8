"""Each threat that the page on security names has a defence and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
BELOW = (REPOSITORY / "tests", REPOSITORY / "tests/integration")
ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<defence>[^|]+) \| (?P<held>[^|]+) \|$", re.MULTILINE)


def test_the_tests_that_hold_a_defence_are_there() -> None:
    page = (REPOSITORY / "docs/security.md").read_text()
    table = page[page.index("| threat |") :]
    rows = [row for row in ROW.finditer(table) if row["threat"] != "threat"]
    assert len(rows) >= 15
    for row in rows:
        named = re.findall(r"`([^`]+)`", row["held"])
        assert named, f"{row['threat']}: no test holds it"
        missing = [path for path in named if not any((folder / path).exists() for folder in BELOW)]
        assert not missing, f"{row['threat']}: {missing} is not there"
