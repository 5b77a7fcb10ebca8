from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.server import pictures, web
from tests.integration.server.reports import pytest_runtest_makereport
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests of a file."""
    operations = {**OPERATIONS, "paced": "tests.operations:Paced"}
    with running_server(tmp_path_factory.mktemp("server") / "data", operations=operations) as running:
        yield running


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a good picture to a file."""
    path = tmp_path_factory.mktemp("pictures") / "drawn.png"
    path.write_bytes(pictures.drawn())
    return path


@pytest.fixture(scope="module")
def host() -> Iterator[web.Web]:
    """Run a web server of the tests."""
    with web.serving() as served:
        yield served
