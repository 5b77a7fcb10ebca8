"""Clients of the HTTP port that are none of ours: Connect's own packages, by each of its protocols.

`connect/main.js` plays the whole contract once and prints what it saw. Its messages come from the descriptors at run
time, so nothing is generated.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2
from tests.integration.server.calls import Raw
from tests.node_packages import install_packages
from tests.operations_for_tests import OPERATIONS
from tests.server import free_port, running_server

from imagebatch.v1 import batch_service_pb2, image_service_pb2

pytestmark = pytest.mark.node

CLIENT = Path(__file__).parent / "connect"
TRANSPORTS = (
    "node-connect-json", "node-connect-proto", "node-grpc-web", "web-connect-json", "web-connect-proto", "web-grpc-web",
)  # fmt: skip
UNKNOWN_BATCH = "0195d2f0-0000-7000-8000-000000000001"
SUCCESS, COMPLETED = 3, 3


@pytest.fixture(scope="module")
def descriptors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write what the client makes its messages of."""
    files: dict[str, FileDescriptor] = {}

    def add(file: Any) -> None:  # the stubs leave out of what kind dependencies are
        if file.name not in files:
            for dependency in file.dependencies:
                add(dependency)
            files[file.name] = file

    for module in (error_details_pb2, batch_service_pb2, image_service_pb2):
        add(module.DESCRIPTOR)
    written = FileDescriptorSet()
    for file in files.values():
        written.file.add().ParseFromString(file.serialized_pb)
    path = tmp_path_factory.mktemp("descriptors") / "contract.binpb"
    path.write_bytes(written.SerializeToString())
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, picture: Path) -> Iterator[dict[str, str]]:
    """Run a server with an HTTP port and a picture; answers its URL and the picture's key."""
    address = f"127.0.0.1:{free_port()}"
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(folder, {"http_address": address}, OPERATIONS) as server:
        raw = Raw(server.address)
        key = raw.upload(picture.read_bytes()).object_key
        raw.close()
        yield {"url": f"http://{address}", "object_key": key}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_whole_contract(transport: str, site: dict[str, str], descriptors: Path, picture: Path) -> None:
    install_packages(CLIENT)
    asked = {
        "transport": transport, "descriptors": str(descriptors), "items": 7, "unknown": UNKNOWN_BATCH, **site,
    }  # fmt: skip
    done = subprocess.run(
        ["node", str(CLIENT / "main.js"), json.dumps(asked)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert int(seen["max_image_bytes"]) > 0
    assert seen["done"]["sequences"] == list(range(1, 8))
    assert seen["done"]["statuses"][-1] == COMPLETED
    assert [result["status"] for result in seen["page"]] == [SUCCESS] * 3
    assert [result["output"]["metadata"] for result in seen["page"]] == [
        {"n": n, "deep": [1, "two", None]} for n in range(3)
    ]
    assert seen["total"] == 7
    assert seen["downloaded"]["sha256"] == seen["downloaded"]["promised"]
    assert seen["downloaded"]["sha256"] == hashlib.sha256(picture.read_bytes()).hexdigest()
    for unknown in (seen["unknown"], seen["unknown_watch"]):
        assert (unknown["code"], unknown["reasons"]) == ("NotFound", ["BATCH_NOT_FOUND"])
    assert (seen["invalid"]["code"], seen["invalid"]["reasons"]) == ("InvalidArgument", ["INVALID_REQUEST"])
    assert sorted(seen["invalid"]["fields"]) == ["items[0]", "options.priority"]
    # fetch can't send a stream, and says so before anything is sent
    assert seen["upload"]["code"] == "Unimplemented" or transport.startswith("web-")
    assert seen["expired"]["code"] == "DeadlineExceeded"
    assert seen["aborted"]["code"] == "Canceled"
    assert seen["is_cancel_requested"]
