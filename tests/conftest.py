"""What all tests share: tests that need a program of the machine are skipped without it, and say how to get it.

In CI (the variable `CI` is set) such a program must be there: a skip nobody reads would pass for a test that ran.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest


def postgres_programs() -> Path | None:
    """Find the folder of PostgreSQL's server programs (`initdb`, `pg_ctl`), the newest release's; None without any."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None


def faketime_library() -> Path | None:
    """Find the library that, loaded before all others, makes up what time it is; None if it is not installed."""
    return next(Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1"), None)


def promtool() -> str | None:
    """Find Prometheus' promtool, which `make prometheus` puts beside the tests; None without it."""
    own = Path(__file__).parents[1] / ".promtool" / "usr" / "bin" / "promtool"
    return str(own) if own.exists() else shutil.which("promtool")


def _has_programs(*names: str) -> bool:
    return all(map(shutil.which, names))


def _has_packages(*names: str) -> bool:
    return all(map(find_spec, names))


NEEDS: dict[str, tuple[Callable[[], object], str]] = {
    "buildah": (
        lambda: os.geteuid() == 0 and _has_programs("buildah", "mmdebstrap"),
        "buildah and mmdebstrap are not installed, or not root's to use: make image-tools",
    ),
    "chromium": (lambda: _has_programs("chromium"), "Chromium is not installed: make chromium"),
    "export": (
        lambda: _has_packages("duckdb", "pandas", "polars", "pyarrow"),
        "the packages duckdb, pandas, polars and pyarrow are not installed: make venv",
    ),
    "faketime": (faketime_library, "libfaketime is not installed: make faketime"),
    "node": (
        lambda: _has_programs("node", "npm"),
        "Node.js and npm are not installed; on Debian: apt install nodejs npm",
    ),
    "openai": (
        lambda: _has_packages("openai", "llmock"),
        "the packages openai and llmock are not installed: make venv",
    ),
    "pgbouncer": (lambda: _has_programs("pgbouncer"), "PgBouncer is not installed: make postgres"),
    "postgres": (postgres_programs, "PostgreSQL's programs are not installed: make postgres"),
    "promtool": (promtool, "Prometheus' promtool is not installed: make prometheus"),
    "systemd": (lambda: _has_programs("systemd-analyze"), "systemd-analyze is not installed: make image-tools"),
}
"""What tests with a marker need of this machine, and what is to be said where it lacks that."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {marker: reason for marker, (is_there, reason) in NEEDS.items() if not is_there()}
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker) is None:
                continue
            if os.environ.get("CI"):
                raise pytest.UsageError(f"{item.nodeid} can't run: {reason}")
            item.add_marker(pytest.mark.skip(reason=reason))
