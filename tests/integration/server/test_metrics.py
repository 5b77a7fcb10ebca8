"""What Prometheus reads of a server that has run a batch with failures."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.server.calls import Raw, eventually, item
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, free_port, running_server

METRICS = f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server that can be asked for metrics."""
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(folder, {"metrics_address": METRICS}, OPERATIONS) as running:
        yield running


def test_outcomes_are_counted_by_operation_and_code(raw: Raw, picture: str) -> None:
    failing = {"do": "fail", "code": "decode_failed", "message": "on purpose"}
    good, bad, missing = item(object_key=picture), item(object_key=picture, metadata=failing), item(object_key="no.key")
    raw.watch_to_end(raw.submit([good, good, good, bad, bad, missing]).batch_id)
    figures = read()
    assert {
        (status, code): figures[f"imagebatch_outcomes_total error_code={code} operation=scripted status={status}"]
        for status, code in [("success", ""), ("failed", "decode_failed"), ("failed", "object_not_found")]
    } == {("success", ""): 3, ("failed", "decode_failed"): 2, ("failed", "object_not_found"): 1}
    assert figures["imagebatch_commit_outcomes_sum"] == 6
    assert figures["imagebatch_item_seconds_count operation=scripted"] == 6
    assert figures["imagebatch_watch_delay_seconds_count"] >= 1


def test_a_server_at_rest_has_its_workers_and_nothing_else(raw: Raw, picture: str) -> None:
    raw.watch_to_end(raw.submit([item(object_key=picture)]).batch_id)
    eventually(lambda: {name: read()[f"imagebatch_{name}"] for name in AT_REST} == AT_REST)


AT_REST = {
    "queued_items": 0,
    "in_flight_items": 0,
    "running_batches": 0,
    "batches_taken_over": 0,
    "watchers": 0,
    "watch_lag_outcomes": 0,
    "workers_alive": 1,
    "workers_restarted": 0,
}


def read() -> dict[str, float]:
    """Every sample, by its name and its labels in alphabetical order."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
