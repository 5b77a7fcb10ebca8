from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.access.secured import Secured
from tests.operations_for_tests import OPERATIONS
from tests.server import running_server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One server with TLS and tokens for all tests of a file."""
    made = Secured(tmp_path_factory.mktemp("secured"))
    with running_server(made.folder / "data", made.settings, OPERATIONS) as server:
        made.server = server
        yield made
        made.close()
