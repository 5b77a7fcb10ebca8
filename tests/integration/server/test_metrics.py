"""What Prometheus reads of a server that has run a batch with failures."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.server import pictures
from tests.integration.server.calls import Raw, eventually, item, refused
from tests.integration.server.web import Web
from tests.operations_for_tests import OPERATIONS
from tests.server import ServerProcess, free_port, running_server

METRICS = f"127.0.0.1:{free_port()}"
HTTP = f"127.0.0.1:{free_port()}"
MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"
UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Run a server that can be asked for metrics."""
    folder = tmp_path_factory.mktemp("server") / "data"
    settings = {"metrics_address": METRICS, "http_address": HTTP, "log_gather_s": "1"}
    with running_server(folder, settings, OPERATIONS) as running:
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
    "batches_taken_over_total": 0,
    "watchers": 0,
    "watch_lag_outcomes": 0,
    "workers_alive": 1,
    "workers_restarted_total": 0,
}


def test_requests_are_counted_whatever_they_come_by(raw: Raw) -> None:
    before = read()
    raw.status(raw.submit([item(object_key="no.key")]).batch_id)
    refused(lambda: raw.status(UNKNOWN))
    refused(lambda: raw.submit([]))
    over_http = f"http://{HTTP}/imagebatch.v1.BatchService"
    assert httpx.post(f"{over_http}/GetBatchStatus", json={"batchId": UNKNOWN}).status_code == 404
    assert httpx.post(f"{over_http}/ListBatches", json={}).status_code == 200
    told = grown(before)
    assert {name: told[f"imagebatch_requests_total {name}"] for name in ENDED} == ENDED
    assert told["imagebatch_request_seconds_count rpc=GetBatchStatus"] == 3
    assert told["imagebatch_requests_refused_total limit= reason=BATCH_NOT_FOUND"] == 2
    assert told["imagebatch_requests_refused_total limit= reason=INVALID_REQUEST"] == 1


ENDED = {
    "code=OK rpc=SubmitBatch": 1,
    "code=OK rpc=GetBatchStatus": 1,
    "code=NOT_FOUND rpc=GetBatchStatus": 2,
    "code=INVALID_ARGUMENT rpc=SubmitBatch": 1,
    "code=OK rpc=ListBatches": 1,
}


def test_a_watch_is_counted_when_it_ends_and_not_timed(raw: Raw) -> None:
    before = read()
    watch = raw.watch(raw.submit([item(object_key="no.key")]).batch_id)
    next(watch)
    watch.cancel()
    eventually(lambda: sum(grown(before).get(f"{REQUESTS} code={code} rpc=WatchBatch", 0) for code in ENDS) == 1)
    assert not [name for name in read() if name.startswith("imagebatch_request_seconds") and "rpc=WatchBatch" in name]


REQUESTS = "imagebatch_requests_total"
ENDS = ("OK", "CANCELLED")
"""A watch is read to its end, or cut before: which comes first is the machine's to say."""


def test_what_a_batch_takes_is_counted(raw: Raw, host: Web, picture: str) -> None:
    before = read()
    urls = [f"{host.url}/picture", f"{host.url}/picture", f"{host.url}/status/404"]
    raw.watch_to_end(raw.submit([item(image_url=url) for url in urls]).batch_id)
    raw.watch_to_end(raw.submit([item(object_key=picture)] * 2, operation="metered").batch_id)
    told = grown(before)
    assert told["imagebatch_fetches_total outcome=success"] == 2
    assert told["imagebatch_fetches_total outcome=fetch_failed"] == 1
    assert told["imagebatch_fetch_seconds_count"] == 3
    assert told["imagebatch_fetched_bytes_total"] == 2 * len(pictures.drawn())
    assert told["imagebatch_tokens_total direction=input operation=metered"] == 2 * 30
    assert told["imagebatch_tokens_total direction=output operation=metered"] == 2 * 4
    assert told["imagebatch_database_transaction_seconds_count kind=write"] >= 4
    assert told["imagebatch_database_wait_seconds_count kind=write"] >= 4


def test_space_and_the_process_are_told_of(server: ServerProcess) -> None:
    figures = read()
    assert 0 < figures["imagebatch_disk_free_bytes"] < figures["imagebatch_disk_size_bytes"]
    eventually(lambda: read()["imagebatch_database_size_bytes"] > 0)
    assert figures["process_resident_memory_bytes"] > 2**20
    assert figures["imagebatch_database_transactions"] <= 5


def test_each_counter_ends_in_total_and_nothing_else_does(server: ServerProcess) -> None:
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    named = {sample.name: family.type for family in families for sample in family.samples}
    ours = {name: kind for name, kind in named.items() if name.startswith("imagebatch_")}
    assert ours
    assert {name for name, kind in ours.items() if kind == "counter" and not name.endswith("_created")} == {
        name for name in ours if name.endswith("_total")
    }


def test_refused_requests_and_failed_items_have_lines_with_what_was_left_out(server: ServerProcess, raw: Raw) -> None:
    """Of items 1 to 6 the first has a line, and the last of the rest another one."""
    secret = "https://images.example.com/a.png?signature=s3cr3t"
    refused(lambda: raw.submit([item(image_url=secret, object_key="both")]))
    for _ in range(5):
        refused(lambda: raw.submit([item(object_key="no.key")], operation="unheard_of"))
    batch_id = raw.submit([item(object_key="no.key")] * 6).batch_id
    raw.watch_to_end(batch_id)
    eventually(lambda: told_of(lines(server, "item.failed", batch_id=batch_id)) == 6)
    eventually(lambda: told_of(lines(server, "request.refused", reason="UNKNOWN_OPERATION")) == 5)
    failed = lines(server, "item.failed", batch_id=batch_id)
    assert [each["item_index"] for each in failed] == [0, 5]
    assert {each["error_code"] for each in failed} == {"object_not_found"}
    assert len(lines(server, "request.refused", reason="UNKNOWN_OPERATION")) <= 3
    one = lines(server, "request.refused", reason="UNKNOWN_OPERATION")[0]
    assert {name: one[name] for name in ("rpc", "code", "tenant", "principal", "level")} == {
        "rpc": "SubmitBatch",
        "code": "INVALID_ARGUMENT",
        "tenant": "default",
        "principal": "anonymous",
        "level": "info",
    }
    assert "unheard_of" in str(one["why"])
    assert "s3cr3t" not in server.log_path.read_text()


def test_what_alerts_and_dashboard_ask_for_is_there(server: ServerProcess) -> None:
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", answer.read().decode(), re.MULTILINE))
    there = set(types) | {f"{name}_bucket" for name, kind in types.items() if kind == "histogram"}
    asked = {
        name
        for file in ("imagebatch.rules.yaml", "dashboard.json")
        for name in re.findall(r"\b(?:imagebatch|process)_\w+", (MONITORING / file).read_text())
    }
    assert len(asked) > 30
    assert asked - there == set()


def told_of(lines: Iterable[dict[str, object]]) -> int:
    """Count what lines stand for, what they left out included."""
    return sum(int(str(line["left_out"])) + 1 for line in lines)


def lines(server: ServerProcess, event: str, **fields: str) -> list[dict[str, object]]:
    """Find lines of the log."""
    return [each for each in _lines(server.log_path) if each.items() >= {"event": event, **fields}.items()]


def _lines(path: Path) -> Iterator[dict[str, object]]:
    for line in path.read_text().splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def grown(before: dict[str, float]) -> dict[str, float]:
    """Tell by how much each figure has grown, as far as it has."""
    return {name: value - before.get(name, 0) for name, value in read().items() if value != before.get(name, 0)}


def read() -> dict[str, float]:
    """Every sample, by its name and its labels in alphabetical order."""
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
