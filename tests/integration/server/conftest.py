from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.integration.server import pictures, web
from tests.integration.server.calls import Raw
from tests.integration.server.reports import pytest_runtest_makereport
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, running_server

__all__ = ["pytest_runtest_makereport"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests of a file; a file whose tests stop servers starts its own."""
    with running_server(tmp_path_factory.mktemp("server") / "data", operations=OPERATIONS) as running:
        yield running


@pytest.fixture
def raw(server: ServerProcess) -> Iterator[Raw]:
    """Reach the server through stubs."""
    client = Raw(server.address)
    yield client
    client.close()


@pytest.fixture(scope="module")
def picture(server: ServerProcess) -> str:
    """Upload a good picture, and answer its key."""
    client = Raw(server.address)
    key = client.upload(pictures.drawn(), file_name="drawn.png", content_type="image/png").object_key
    client.close()
    return key


@pytest.fixture(scope="module")
def host() -> Iterator[web.Web]:
    """Run a web server of the tests."""
    with web.serving() as served:
        yield served
