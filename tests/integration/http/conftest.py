from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from tests.integration.server import pictures
from tests.integration.server.calls import Raw
from tests.integration.server.reports import pytest_runtest_makereport
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, free_port, running_server

__all__ = ["pytest_runtest_makereport"]

PAGE = "https://dashboard.example.com"
TOKENS = {
    "writer": ("acme", ["writer"]),
    "reader": ("acme", ["reader"]),
    "other": ("rival", ["writer"]),
    "operator": ("ops", ["operator"]),
}


@dataclass(frozen=True)
class Site:
    """A server with an HTTP port; `url` is where."""

    server: ServerProcess
    url: str

    @property
    def batches(self) -> str:
        return f"{self.url}/imagebatch.v1.BatchService"

    @property
    def images(self) -> str:
        return f"{self.url}/imagebatch.v1.ImageService"


def secret(name: str) -> str:
    """Make the token of a caller in TOKENS."""
    return f"imagebatch_{hashlib.sha256(name.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Give the settings of a file's server; a file may have its own."""
    return {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]) -> Iterator[Site]:
    """Run one server for all tests of a file; everybody may call it."""
    address = f"127.0.0.1:{free_port()}"
    given = {
        "http_address": address,
        "http_origins": PAGE,
        "max_request_bytes": "1MiB",
        "stop_grace_s": "1",
        **settings,
    }
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(folder, given, operations=OPERATIONS) as running:
        yield Site(running, f"http://{address}")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run a server that asks who calls: those in TOKENS may."""
    callers = [
        {
            "name": name,
            "tenant": tenant,
            "roles": roles,
            "expires_at": "2100-01-01T00:00:00Z",
            "sha256": hashlib.sha256(secret(name).encode()).hexdigest(),
        }
        for name, (tenant, roles) in TOKENS.items()
    ]
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "access.json"
    file.write_text(json.dumps({"callers": callers}))
    address = f"127.0.0.1:{free_port()}"
    with running_server(folder / "data", {"http_address": address, "access_file": str(file)}, OPERATIONS) as running:
        yield Site(running, f"http://{address}")


@pytest.fixture
def raw(site: Site) -> Iterator[Raw]:
    """Reach the same server by gRPC."""
    client = Raw(site.server.address)
    yield client
    client.close()


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=30.0, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def picture(site: Site) -> str:
    """Upload a good picture, and answer its key."""
    client = Raw(site.server.address)
    key = client.upload(pictures.drawn(), file_name="drawn.png", content_type="image/png").object_key
    client.close()
    return key
