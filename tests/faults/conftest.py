"""What all fault tests share: the store under test, and a place to say what was tried, which ends as a table."""

from __future__ import annotations

import os

# PostgreSQL's programs are started by fork while calls are under way, and gRPC's own handlers of forks can break them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.stores import Store
from tests.integration.server.calls import Raw
from tests.integration.server.reports import pytest_runtest_makereport
from tests.postgres import own_server
from tests.server import ServerProcess

__all__ = ["pytest_runtest_makereport"]

TOLD = "told"
SEED = "IMAGEBATCH_FAULTS_SEED"
SCALE = "IMAGEBATCH_FAULTS_SCALE"

Tell = Callable[[str], None]


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Says what a test tried and what came of it; the session's end shows all of it."""

    def say(line: str) -> None:
        request.node.user_properties.append((TOLD, line))

    return say


@pytest.fixture
def seed(tell: Tell) -> int:
    """Where this test's chances come from; told, so that a run can be repeated by the environment variable."""
    chosen = int(os.environ.get(SEED, random.randrange(1_000_000)))
    tell(f"{SEED}={chosen}")
    return chosen


@pytest.fixture(scope="session")
def scale() -> float:
    """How much longer than in CI a test is to go on; `make soak` sets it."""
    return float(os.environ.get(SCALE, "1"))


@pytest.fixture
def raw(server: ServerProcess) -> Iterator[Raw]:
    """Reach the test's server through stubs."""
    client = Raw(server.address)
    yield client
    client.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Provide an empty store of each kind; PostgreSQL is a server of the test's own, which it may break."""
    data_dir = tmp_path / "data"
    if request.param == "sqlite":
        yield Store("sqlite", data_dir, f"sqlite:///{data_dir / 'imagebatch.db'}")
        return
    with own_server() as postgres:
        yield Store("postgres", data_dir, postgres.create_database(), postgres)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if report.when == "call" and any(name == TOLD for name, _ in report.user_properties)
    ]
    if not reports:
        return
    terminalreporter.section("what was tried, and what came of it")
    for report in sorted(reports, key=lambda report: report.nodeid):
        terminalreporter.write_line(f"{report.outcome}  {report.nodeid.removeprefix('tests/faults/')}")
        for name, line in report.user_properties:
            if name == TOLD:
                terminalreporter.write_line(f"    {line}")
