"""A client in another language, made from the .proto files alone: Node.js with gRPC's own packages.

`node/client.js` is that client, `node/main.js` plays one scenario and prints what it saw.
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.server.web import Web
from tests.node_packages import install_packages
from tests.operations import open_gate
from tests.server import REPOSITORY, ServerProcess

pytestmark = pytest.mark.node

NODE = Path(__file__).parent / "node"
CANCELLED, INVALID_ARGUMENT, NOT_FOUND = 1, 3, 5
UNKNOWN_BATCH = "0195d2f0-0000-7000-8000-000000000001"

Play = Callable[..., Any]


@pytest.fixture
def play(server: ServerProcess, picture: Path) -> Play:
    """Plays a scenario against the server, with gRPC's default limits."""
    install_packages(NODE)
    proto_paths = [REPOSITORY / "protos", sysconfig.get_path("purelib")]  # google/rpc/*.proto ship in the latter

    def run(scenario: str, **given: Any) -> Any:
        asked = {
            "scenario": scenario,
            "address": server.address,
            "proto_paths": [str(path) for path in proto_paths],
            "picture": str(picture),
            **given,
        }
        done = subprocess.run(
            ["node", str(NODE / "main.js"), json.dumps(asked)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_images_given_in_each_way_are_run_watched_and_paged(play: Play, host: Web) -> None:
    seen = play("run", operation="scripted", url=f"{host.url}/picture")
    assert seen["is_same"]
    assert seen["uploaded"]["format"] == "png"
    assert seen["downloaded"]["header"]["file_name"] == "picture.png"
    submitted = seen["submitted"]
    assert (submitted["status"], submitted["total_items"]) == ("BATCH_STATUS_PENDING", 3)

    watched = seen["watched"]
    assert watched["code"] == 0
    assert watched["status"]["status"] == "BATCH_STATUS_COMPLETED"
    assert [result["sequence"] for result in watched["results"]] == [1, 2, 3]
    assert watched["sequence"] == 3

    paged = seen["paged"]
    assert paged["counts"] == [2, 1]
    items = paged["items"]
    assert [item["item_id"] for item in items] == ["uploaded", "by-url", f"{submitted['batch_id']}-2"]
    assert {item["status"] for item in items} == {"BATCH_ITEM_STATUS_SUCCESS"}
    assert items == sorted(watched["results"], key=lambda result: result.get("item_index", 0))
    uploaded, by_url, inline = items
    assert uploaded["input_data"] == {
        "object_key": seen["uploaded"]["object_key"], "metadata": {"depth": {"list": [1, "two", None, True]}},
    }  # fmt: skip
    assert uploaded["output_data"]["metadata"] == {"depth": {"list": [1, "two", None, True]}}
    assert by_url["input_data"] == {"image_url": f"{host.url}/picture"}
    assert {item["image_sha256"] for item in items} == {seen["uploaded"]["sha256"]}
    assert inline["input_data"]["sha256"] == seen["uploaded"]["sha256"]

    status = seen["status"]
    assert (status["total_items"], status["successful_items"], status["success_rate"]) == (3, 3, 1)
    assert status["labels"] == {"from": "node"}
    assert paged["summary"]["successful_items"] == 3


def test_a_stream_that_was_cut_goes_on_where_it_was(play: Play, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    open_gate(gate, 40)
    seen = play("resume", items=80, gate=str(gate), cut_after=15)
    first, second = seen["first"], seen["second"]
    assert first["code"] == CANCELLED
    assert 15 <= len(first["results"]) < 80
    assert seen["at_cut"]["status"] == "BATCH_STATUS_PROCESSING", "the cut did no harm to the batch"
    assert second["status"]["status"] == "BATCH_STATUS_COMPLETED"
    results = first["results"] + second["results"]
    assert [result["sequence"] for result in results] == list(range(1, 81))
    assert sorted(result["index"] for result in results) == list(range(80))


def test_a_thousand_results_of_5_kb_arrive_by_watch_and_by_page(play: Play) -> None:
    seen = play("large", operation="verbose", items=1000, metadata={"characters": 5120}, limit=1000)
    watched, paged = seen["watched"], seen["paged"]
    assert watched["code"] == 0
    for results in (watched["results"], paged["items"]):
        assert sorted(result["index"] for result in results) == list(range(1000))
        assert {result["characters"] for result in results} == {5120}
    assert watched["messages"] > 1
    assert paged["counts"][0] < 1000, "a page is shortened where it would be too large"
    assert sum(paged["counts"]) == 1000


def test_a_cancelled_batch_keeps_what_was_done(play: Play) -> None:
    slow = {"do": "sleep", "seconds": 0.1}
    seen = play("cancel", operation="scripted", items=100, metadata=slow)
    watched = seen["watched"]
    assert "cancel_requested_at" in seen["answered"]
    assert watched["status"]["status"] == "BATCH_STATUS_CANCELLED"
    statuses = [result["status"] for result in watched["results"]]
    assert len(statuses) == 100
    assert set(statuses) == {"BATCH_ITEM_STATUS_SUCCESS", "BATCH_ITEM_STATUS_SKIPPED"}
    skipped = [result for result in watched["results"] if result["status"] == "BATCH_ITEM_STATUS_SKIPPED"]
    assert {result["code"] for result in skipped} == {"ITEM_ERROR_CODE_CANCELLED"}
    assert seen["repeated"]["skipped_items"] == len(skipped)


def test_errors_carry_details_that_can_be_read(play: Play) -> None:
    bad_items = [{"image_url": "https://a", "object_key": "k"}, {}]
    calls = [
        {"method": "SubmitBatch", "request": {"options": {"operation": "noop", "priority": 11}, "items": bad_items}},
        {"method": "GetBatchStatus", "request": {"batch_id": UNKNOWN_BATCH}},
    ]
    bad, unknown = play("errors", calls=calls)
    assert (bad["code"], bad["details"]["code"]) == (INVALID_ARGUMENT, INVALID_ARGUMENT)
    assert bad["message"] == bad["details"]["message"]
    assert bad["details"]["google.rpc.ErrorInfo"]["reason"] == "INVALID_REQUEST"
    violations = bad["details"]["google.rpc.BadRequest"]["field_violations"]
    assert {violation["field"] for violation in violations} == {"items[0]", "items[1]", "options.priority"}
    assert all(violation["description"] for violation in violations)

    assert unknown["code"] == NOT_FOUND
    assert unknown["details"]["google.rpc.ErrorInfo"] == {
        "reason": "BATCH_NOT_FOUND", "domain": "imagebatch.v1", "metadata": {"batch_id": UNKNOWN_BATCH},
    }  # fmt: skip
