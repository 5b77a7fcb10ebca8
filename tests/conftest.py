"""What all tests share: tests that need a program of the machine are skipped without it, and say how to get it.

In CI (the variable `CI` is set) such a program must be there: a skip nobody reads would pass for a test that ran.
"""

from __future__ import annotations

import os
import shutil
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


MARKERS = (
    "buildah",
    "chromium",
    "export",
    "faketime",
    "node",
    "openai",
    "pgbouncer",
    "postgres",
    "promtool",
    "systemd",
)


def _missing(marker: str) -> str | None:
    """Say what a test with this marker lacks on this machine."""
    if marker == "chromium" and shutil.which("chromium") is None:
        return "Chromium is not installed: make chromium"
    if marker == "buildah" and not (os.geteuid() == 0 and all(map(shutil.which, ("buildah", "mmdebstrap")))):
        return "buildah and mmdebstrap are not installed, or not root's to use: make image-tools"
    if marker == "export" and not all(map(find_spec, ("duckdb", "pandas", "polars", "pyarrow"))):
        return "the packages duckdb, pandas, polars and pyarrow are not installed: make venv"
    if marker == "faketime" and faketime_library() is None:
        return "libfaketime is not installed: make faketime"
    if marker == "node" and not (shutil.which("node") and shutil.which("npm")):
        return "Node.js and npm are not installed; on Debian: apt install nodejs npm"
    if marker == "openai" and not (find_spec("openai") and find_spec("llmock")):
        return "the packages openai and llmock are not installed: make venv"
    if marker == "pgbouncer" and shutil.which("pgbouncer") is None:
        return "PgBouncer is not installed: make postgres"
    if marker == "postgres" and postgres_programs() is None:
        return "PostgreSQL's programs are not installed: make postgres"
    if marker == "promtool" and promtool() is None:
        return "Prometheus' promtool is not installed: make prometheus"
    if marker == "systemd" and shutil.which("systemd-analyze") is None:
        return "systemd-analyze is not installed: make image-tools"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {marker: reason for marker in MARKERS if (reason := _missing(marker))}
    for item in items:
        for marker, reason in missing.items():
            if item.get_closest_marker(marker) is None:
                continue
            if os.environ.get("CI"):
                raise pytest.UsageError(f"{item.nodeid} can't run: {reason}")
            item.add_marker(pytest.mark.skip(reason=reason))
