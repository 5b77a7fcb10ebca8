"""`buf curl` by reflection, as README.md shows it: no stubs, no .proto files, a shell."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server import pictures
from tests.server import ServerProcess

BUF = Path(sysconfig.get_path("scripts")) / "buf"


@pytest.fixture
def curl(server: ServerProcess, tmp_path: Path) -> Any:
    """Call a method of BatchService; answers the exit code and each message, or what stands in its place."""

    def call(method: str, *arguments: str) -> list[dict[str, Any]]:
        url = f"http://{server.address}/imagebatch.v1.BatchService/{method}"
        done = subprocess.run(
            [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments, url],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,  # no buf module there: all it knows comes from the server
            check=False,
        )
        return messages(done.stdout) if done.returncode == 0 else [{"error": json.loads(done.stderr)}]

    return call


def messages(text: str) -> list[dict[str, Any]]:
    """Read the JSON values that stand one after the other."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:]
    return found


@pytest.mark.parametrize("reflection", ["grpc-v1", "grpc-v1alpha"])
def test_what_the_server_offers(curl: Any, reflection: str) -> None:
    (listed,) = curl("ListOperations", "--reflect-protocol", reflection)
    assert "describe" in [operation["name"] for operation in listed["operations"]]
    (info,) = curl("GetServerInfo")
    assert info["limits"]["maxItemsPerSubmit"] == 10_000


def test_a_batch_from_submit_to_results(curl: Any) -> None:
    items = [{"image_base64": pictures.data_url(pictures.drawn(seed))} for seed in range(3)]
    (submitted,) = curl("SubmitBatch", "-d", json.dumps({"options": {"operation": "scripted"}, "items": items}))
    of_batch = json.dumps({"batch_id": submitted["batchId"]})
    *_, last = curl("WatchBatch", "-d", of_batch)
    assert last["status"]["status"] == "BATCH_STATUS_COMPLETED"
    (page,) = curl("GetBatchResults", "-d", of_batch)
    assert [result["outputData"]["format"] for result in page["results"]] == ["png"] * 3


def test_an_error_says_what_to_do(curl: Any) -> None:
    (answer,) = curl("SubmitBatch", "-d", json.dumps({"options": {"operation": "scripted"}}))
    assert answer["error"]["code"] == "invalid_argument"
    assert "items: is empty" in answer["error"]["message"]
