"""Several servers on one PostgreSQL: killed, frozen, stopped and joined, and each batch goes on once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.conftest import Tell
from tests.faults.fleet import Fleet, assert_whole, events, postgres, seaweed, servers, shared_store, submit
from tests.integration.server import pictures
from tests.integration.server.calls import TIMEOUT_S, Raw, eventually, item
from tests.otlp import attributes, collecting

from imagebatch.v1.batch_service_pb2 import BatchOptions, PauseBatchRequest, ResumeBatchRequest, SubmitBatchRequest

__all__ = ["postgres", "seaweed", "servers", "shared_store"]

pytestmark = pytest.mark.postgres


def seen(fact: Callable[[], object]) -> float:
    """Wait for a fact; answers how long it took (seconds)."""
    began = time.monotonic()
    eventually(fact)
    return time.monotonic() - began


def test_after_kill_9_of_the_owner_another_server_goes_on(servers: Fleet, tell: Tell) -> None:
    one, two = servers.add(), servers.add()
    raw, other = Raw(one.address), Raw(two.address)
    batch_id = submit(raw, 100, 0.03)
    seen(lambda: other.status(batch_id).processed_items >= 10)
    one.kill()
    done = other.status(batch_id).processed_items
    took_s = seen(lambda: other.status(batch_id).processed_items > done + 1)
    assert took_s < 5.0
    tell(f"after kill -9 of its owner a batch went on within {took_s:.2f} s")
    assert_whole(servers, two, batch_id, 100)
    assert len(events(two, "ownership.batch_taken_over")) == 1
    raw.close()
    other.close()


def test_a_batch_that_is_paused_through_another_server_stays_so_after_kill_9_of_its_owner(
    servers: Fleet, tmp_path: Path, tell: Tell
) -> None:
    one, two = servers.add(), servers.add()
    raw, other = Raw(one.address), Raw(two.address)
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    picture = raw.upload(pictures.drawn()).object_key
    waits = item(object_key=picture, metadata={"do": "wait", "until": str(gate), "begun": str(begun)})
    batch_id = raw.submit([waits] * 30).batch_id
    eventually(begun.exists)
    paused = other.batches.PauseBatch(PauseBatchRequest(batch_id=batch_id))
    one.kill()
    seen(lambda: events(two, "ownership.batch_taken_over"))
    gate.touch()
    assert_whole(servers, two, submit(other, 20, 0.0), 20)
    found = other.status(batch_id)
    assert (found.processed_items, found.paused_at) == (0, paused.paused_at)
    other.batches.ResumeBatch(ResumeBatchRequest(batch_id=batch_id))
    assert_whole(servers, two, batch_id, 30)
    tell("a batch that was paused stayed so when another server took it over, and was resumed there")
    raw.close()
    other.close()


def test_what_a_frozen_owner_writes_after_its_thaw_does_not_count(servers: Fleet, tell: Tell) -> None:
    one, two = servers.add(), servers.add()
    raw, other = Raw(one.address), Raw(two.address)
    batch_id = submit(raw, 200, 0.03)
    seen(lambda: other.status(batch_id).processed_items >= 10)
    one.process.send_signal(signal.SIGSTOP)
    done = other.status(batch_id).processed_items
    took_s = seen(lambda: other.status(batch_id).processed_items > done + 1)
    assert took_s < 10.0
    tell(f"after its owner froze a batch went on within {took_s:.2f} s")
    one.process.send_signal(signal.SIGCONT)
    seen(lambda: events(one, "batch.lost"))
    assert_whole(servers, two, batch_id, 200)
    assert_whole(servers, one, batch_id, 200)
    assert_whole(servers, two, submit(raw, 3, 0.0), 3)  # the thawed one serves on
    assert len(events(one, "lease.taken_again")) == 1
    raw.close()
    other.close()


def test_a_server_that_stops_hands_over_and_no_work_is_done_twice(servers: Fleet, tmp_path: Path, tell: Tell) -> None:
    one, two = servers.add(workers="2"), servers.add()
    raw, other = Raw(one.address), Raw(two.address)
    picture = raw.upload(pictures.drawn()).object_key
    markers = [tmp_path / f"ran-{index}" for index in range(60)]
    deeds = [{"do": "note", "path": str(marker), "seconds": 0.1} for marker in markers]
    batch_id = raw.submit([item(object_key=picture, metadata=deed) for deed in deeds]).batch_id
    seen(lambda: other.status(batch_id).processed_items >= 6)
    one.terminate()
    assert_whole(servers, two, batch_id, 60)
    assert one.wait() == 0
    (left,) = events(one, "batch.handed_over")
    runs = [marker.read_text().count("ran") for marker in markers]
    assert runs == [1] * 60
    tell(f"a server that was stopped gave its batch to {left['to']}; each of 60 items ran once")
    raw.close()
    other.close()


def test_a_server_that_joins_gets_a_share(servers: Fleet, tell: Tell) -> None:
    one = servers.add()
    raw = Raw(one.address)
    batch_ids = [submit(raw, 100, 0.02) for _ in range(6)]
    two = servers.add()
    for batch_id in batch_ids:
        assert_whole(servers, two, batch_id, 100)
    moved = events(one, "batch.handed_over")
    assert 1 <= len(moved) <= 5
    tell(f"of 6 batches that waited, {len(moved)} moved to a server that joined")
    raw.close()


def test_items_that_another_server_takes_over_belong_to_the_trace_of_their_submit(servers: Fleet, tell: Tell) -> None:
    with collecting() as collector:
        traced = {"otlp_endpoint": collector.url, "trace_ratio": "0", "trace_item_ratio": "1"}
        one, two = servers.add(**traced), servers.add(**traced)
        raw, other = Raw(one.address), Raw(two.address)
        slow = item(object_key=raw.upload(pictures.drawn()).object_key, metadata={"do": "sleep", "seconds": 0.1})
        trace_id, span_id = "5" * 32, "6" * 16
        request = SubmitBatchRequest(options=BatchOptions(operation="scripted"), items=[slow] * 30)
        traceparent = (("traceparent", f"00-{trace_id}-{span_id}-01"),)
        batch_id = raw.batches.SubmitBatch(request, metadata=traceparent, timeout=TIMEOUT_S).batch_id
        seen(lambda: other.status(batch_id).processed_items >= 5)
        one.kill()
        other.watch_to_end(batch_id)
        ran = collector.item_spans(trace_id, last_index=29)
        assert len({span.parent_span_id for span in ran}) == 1
        assert len(ran) >= 20
        assert {attributes(span)["imagebatch.batch_id"] for span in ran} == {batch_id}
        tell(f"after kill -9 of its owner {len(ran)} items of a batch had spans in the trace of their submit")
        raw.close()
        other.close()
