"""Traces of calls and items, from the caller's span to the delivery, as a collector gets them by OTLP."""

from __future__ import annotations

import json
import secrets
import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.integration.server.calls import TIMEOUT_S, Raw, eventually, item, refused
from tests.integration.server.web import Web, serving
from tests.operations_for_tests import OPERATIONS
from tests.otlp import Collector, attributes, collecting
from tests.server import ServerProcess, free_port, running_server

from imagebatch.v1 import batch_service_pb2, types_pb2
from imagebatch_client import BatchClient, BatchImageInput

HTTP = f"127.0.0.1:{free_port()}"
UNKNOWN = "0195d2f0-0000-7000-8000-000000000001"
SUBMIT = "imagebatch.v1.BatchService/SubmitBatch"


class Caller:
    """A span of somebody else, of a trace of its own."""

    def __init__(self, *, is_sampled: bool = True) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{int(is_sampled):02x}"
        self.metadata = (("traceparent", self.traceparent),)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[ServerProcess]:
    """Run a server that traces whoever asks for it, and nobody else."""
    folder = tmp_path_factory.mktemp("server") / "data"
    with running_server(folder, {"http_address": HTTP, **tracing(collector.url)}, OPERATIONS) as running:
        yield running


def tracing(url: str, **more: str) -> dict[str, str]:
    return {"otlp_endpoint": url, "trace_ratio": "0", "trace_item_ratio": "1", **more}


def submit(raw: Raw, caller: Caller, items: Sequence[types_pb2.BatchImageInput], **options: Any) -> str:
    request = batch_service_pb2.SubmitBatchRequest(
        options=batch_service_pb2.BatchOptions(operation="scripted", **options), items=items
    )
    return raw.batches.SubmitBatch(request, timeout=TIMEOUT_S, metadata=caller.metadata).batch_id


def logged(server: ServerProcess, event: str, batch_id: str) -> list[dict[str, Any]]:
    """Wait for an event of a batch."""
    eventually(lambda: lines(server, event, batch_id) != [])
    return lines(server, event, batch_id)


def lines(server: ServerProcess, event: str, batch_id: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.log_path.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event and line.get("batch_id") == batch_id]


def test_a_batch_is_one_trace_from_the_caller_to_the_delivery(
    server: ServerProcess, raw: Raw, collector: Collector, picture: str, host: Web
) -> None:
    caller = Caller()
    given = [
        item(object_key=picture),
        item(image_url=f"{host.url}/picture?signature=s3cr3t"),
        item(object_key="no.key"),
    ]
    batch_id = submit(raw, caller, given)
    raw.watch_to_end(batch_id)
    spans = collector.of_trace(caller.trace_id, 1 + 3 + 3 + 1 + 2 + 3 + 3)
    names = Counter(span.name for span in spans)
    assert names == {SUBMIT: 1, "process scripted": 3, "queue": 3, "fetch": 1, "run": 2, "record": 3, "deliver": 3}
    (submitted,) = (span for span in spans if span.name == SUBMIT)
    assert (submitted.kind, submitted.parent_span_id.hex()) == (Span.SPAN_KIND_SERVER, caller.span_id)
    items = {attributes(span)["imagebatch.item_index"]: span for span in spans if span.name == "process scripted"}
    for span in items.values():
        assert span.parent_span_id == submitted.span_id
        assert [(link.trace_id, link.span_id) for link in span.links] == [(submitted.trace_id, submitted.span_id)]
        assert attributes(span)["imagebatch.batch_id"] == batch_id
    assert [items[index].status.code for index in range(3)] == [Status.STATUS_CODE_UNSET] * 2 + [
        Status.STATUS_CODE_ERROR
    ]
    assert attributes(items[2])["error.type"] == "object_not_found"
    fetched = [span for span in spans if span.parent_span_id == items[1].span_id]
    assert [span.name for span in sorted(fetched, key=lambda span: (span.start_time_unix_nano, span.name))] == [
        "queue", "fetch", "run", "record", "deliver",
    ]  # fmt: skip
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    assert {attributes(span)["server.address"] for span in spans if span.name == "fetch"} == {"127.0.0.1"}
    assert "s3cr3t" not in str(spans)


def test_lines_of_the_log_name_the_trace(server: ServerProcess, raw: Raw, picture: str) -> None:
    """The lines of a batch name the trace of its submit, and of no other call that came in between."""
    for is_sampled in (True, False):
        caller = Caller(is_sampled=is_sampled)
        batch_id = submit(raw, caller, [item(object_key=picture), item(object_key="no.key")])
        raw.watch_to_end(batch_id)
        for event in ("batch.submitted", "batch.ended", "item.failed"):
            assert [line["trace_id"] for line in logged(server, event, batch_id)] == [caller.trace_id]
    untraced = raw.submit([item(object_key="no.key")]).batch_id
    raw.watch_to_end(untraced)
    for event in ("batch.submitted", "batch.ended", "item.failed"):
        assert all("trace_id" not in line for line in logged(server, event, untraced))


def test_what_nobody_samples_has_no_span(raw: Raw, collector: Collector, picture: str) -> None:
    """A span that was sampled comes after all of them, so none of theirs is on its way."""
    unsampled, sampled = Caller(is_sampled=False), Caller()
    raw.watch_to_end(submit(raw, unsampled, [item(object_key=picture)]))
    raw.watch_to_end(raw.submit([item(object_key=picture)]).batch_id)
    raw.watch_to_end(submit(raw, sampled, [item(object_key=picture)]))
    collector.of_trace(sampled.trace_id, 6)
    assert unsampled.trace_id not in {span.trace_id.hex() for span in collector.spans()}
    assert all(span.parent_span_id for span in collector.spans())
    assert "imagebatch.v1.BatchService/WatchBatch" not in {span.name for span in collector.spans()}


def test_a_call_over_http_is_traced_alike(server: ServerProcess, collector: Collector) -> None:
    caller = Caller()
    url = f"http://{HTTP}/imagebatch.v1.BatchService/GetBatchStatus"
    assert httpx.post(url, json={"batchId": UNKNOWN}, headers=dict(caller.metadata)).status_code == 404
    (span,) = collector.of_trace(caller.trace_id, 1)
    assert (span.name, span.parent_span_id.hex()) == ("imagebatch.v1.BatchService/GetBatchStatus", caller.span_id)
    assert attributes(span)["rpc.response.status_code"] == "NOT_FOUND"
    assert attributes(span)["error.type"] == "BATCH_NOT_FOUND"
    assert span.status.code == Status.STATUS_CODE_UNSET  # the caller's mistake


def test_a_traceparent_that_is_none_harms_nobody(raw: Raw) -> None:
    for value in ("", "00-0-0-01", f"00-{'0' * 32}-{'1' * 16}-01", "x" * 4_000):
        request = batch_service_pb2.ListBatchesRequest()
        raw.batches.ListBatches(request, timeout=TIMEOUT_S, metadata=(("traceparent", value),))


def test_the_collector_is_told_who_sends(server: ServerProcess, raw: Raw, collector: Collector) -> None:
    caller = Caller()
    refused(lambda: raw.batches.GetBatchStatus(status_of(UNKNOWN), timeout=TIMEOUT_S, metadata=caller.metadata))
    collector.of_trace(caller.trace_id, 1)
    sender = collector.resources()[-1]
    assert (sender["service.name"], sender["telemetry.sdk.language"]) == ("imagebatch", "python")


def status_of(batch_id: str) -> batch_service_pb2.GetBatchStatusRequest:
    return batch_service_pb2.GetBatchStatusRequest(batch_id=batch_id)


def test_our_client_tells_which_trace_its_caller_is_in(
    server: ServerProcess, collector: Collector, picture: str
) -> None:
    caller = Caller()
    parent = trace.SpanContext(
        int(caller.trace_id, 16), int(caller.span_id, 16), is_remote=False, trace_flags=trace.TraceFlags(1)
    )
    with trace.use_span(trace.NonRecordingSpan(parent)), BatchClient(server.address) as client:
        client.submit("scripted", [BatchImageInput(object_key=picture)])
    spans = collector.of_trace(caller.trace_id, 5)
    assert {span.parent_span_id.hex() for span in spans if span.name.startswith("imagebatch.v1")} == {caller.span_id}


def test_items_that_run_after_a_kill_belong_to_the_same_trace(tmp_path: Path, collector: Collector) -> None:
    caller = Caller()
    with running_server(tmp_path / "data", tracing(collector.url), OPERATIONS) as running:
        raw = Raw(running.address)
        with serving() as host:
            batch_id = submit(raw, caller, [item(image_url=f"{host.url}/hang")], max_attempts=1)
            eventually(lambda: host.requested != [])
            running.kill()
        running.start()
        raw.watch_to_end(batch_id)
        spans = collector.of_trace(caller.trace_id, 5)
        raw.close()
    (ran,) = (span for span in spans if span.name == "process scripted")
    assert attributes(ran)["error.type"] == "fetch_failed"
    assert [link.trace_id.hex() for link in ran.links] == [caller.trace_id]


def test_a_collector_that_is_away_holds_nothing_up(tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    with running_server(tmp_path / "data", tracing(away), OPERATIONS) as running:
        raw = Raw(running.address)
        for _ in range(3):
            raw.watch_to_end(submit(raw, Caller(), [item(object_key="no.key")]))
        eventually(lambda: '"tracing.export_failed"' in running.log_path.read_text())
        raw.close()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=10) == 0
    log = running.log_path.read_text()
    assert log.count('"tracing.export_failed"') == 1
    assert "Traceback" not in log


def test_a_call_that_is_cut_ends_its_span(raw: Raw, collector: Collector) -> None:
    caller, is_cut = Caller(), threading.Event()

    def requests() -> Iterator[batch_service_pb2.SubmitBatchStreamRequest]:
        yield batch_service_pb2.SubmitBatchStreamRequest(options=batch_service_pb2.BatchOptions(operation="noop"))
        is_cut.wait()

    with pytest.raises(grpc.RpcError):
        raw.batches.SubmitBatchStream(requests(), metadata=caller.metadata, timeout=0.5)
    is_cut.set()
    (span,) = collector.of_trace(caller.trace_id, 1)
    assert attributes(span)["rpc.response.status_code"] == "CANCELLED"
