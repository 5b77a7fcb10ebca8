"""Which items have spans, and that what is remembered of them stays small."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from tests.unit.batches.samples import batch, item

from imagebatch.v1.enums import BatchItemStatus, ItemErrorCode
from imagebatch_server.batches import unrun
from imagebatch_server.batches.model import Dispatch, Outcome
from imagebatch_server.tracing.items import MOST_BATCHES, MOST_BATCHES_UNDELIVERED, MOST_UNDELIVERED, ItemTracing

TRACEPARENT = f"00-{'1' * 32}-{'2' * 16}-01"
UNSAMPLED = f"00-{'1' * 32}-{'2' * 16}-00"


class Traced:
    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.items = ItemTracing(provider.get_tracer("test"), ratio)

    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        return sorted(span.name for span in self.spans())


def dispatch(batch_id: str, index: int = 0, *, attempt: int = 1, traceparent: str | None = TRACEPARENT) -> Dispatch:
    return Dispatch("default", batch_id, 1, attempt, item(index), "noop", None, 60.0, "", traceparent=traceparent)


def outcome(index: int = 0) -> Outcome:
    return Outcome(index, BatchItemStatus.SUCCESS, attempts=1)


@pytest.mark.parametrize(("ratio", "sampled"), [(0.0, 0), (0.001, 1), (0.01, 10), (0.3, 300), (1.0, 1_000)])
def test_a_share_of_items_is_sampled_and_always_the_first(ratio: float, sampled: int) -> None:
    tracing = Traced(ratio).items
    chosen = [index for index in range(1_000) if tracing.is_sampled(index)]
    assert len(chosen) == sampled
    assert chosen[:1] == ([0] if ratio else [])


@pytest.mark.parametrize("traceparent", [None, UNSAMPLED])
def test_items_of_a_batch_that_is_not_sampled_have_no_spans(traceparent: str | None) -> None:
    traced = Traced()
    given = dispatch("a", traceparent=traceparent)
    traced.items.dispatched(given)
    traced.items.finished(given)
    traced.items.committed(batch(batch_id="a", last_sequence=1), [outcome()], None)
    assert traced.spans() == []
    assert not traced.items._batches


def test_an_item_that_was_skipped_after_its_dispatch_has_no_spans() -> None:
    traced = Traced()
    traced.items.dispatched(dispatch("a"))
    traced.items.committed(
        batch(batch_id="a", last_sequence=1), [unrun.skipped(item(), ItemErrorCode.CANCELLED, 0)], None
    )
    assert traced.spans() == []
    traced.items.delivered("a", 1)
    assert traced.spans() == []


def test_each_attempt_has_its_part() -> None:
    traced = Traced()
    for attempt in (1, 2):
        given = dispatch("a", attempt=attempt)
        traced.items.dispatched(given)
        traced.items.started(given)
        traced.items.finished(given)
    traced.items.committed(batch(batch_id="a", last_sequence=1), [outcome()], None)
    assert [name for name in traced.names() if name == "run"] == ["run"] * 2


def test_an_item_is_delivered_once_and_not_before_its_sequence() -> None:
    traced = Traced()
    for index in (0, 1):
        traced.items.dispatched(dispatch("a", index))
    traced.items.committed(batch(batch_id="a", last_sequence=2), [outcome(0), outcome(1)], None)
    for sequence, delivered in ((0, 0), (1, 1), (1, 1), (2, 2), (2, 2)):
        traced.items.delivered("a", sequence)
        assert traced.names().count("deliver") == delivered


def test_what_is_lost_is_forgotten() -> None:
    traced = Traced()
    traced.items.dispatched(dispatch("a"))
    traced.items.lost("a", 1)
    traced.items.committed(batch(batch_id="a", last_sequence=1), [outcome()], None)
    assert traced.spans() == []


def test_what_is_remembered_is_bounded() -> None:
    traced = Traced()
    for number in range(MOST_BATCHES + 10):
        traced.items.dispatched(dispatch(f"{number}"))
    assert len(traced.items._batches) == MOST_BATCHES
    for number in range(MOST_BATCHES, MOST_BATCHES - MOST_BATCHES_UNDELIVERED - 10, -1):
        traced.items.committed(batch(batch_id=f"{number}", last_sequence=1), [outcome()], None)
    assert len(traced.items._undelivered) == MOST_BATCHES_UNDELIVERED
    for index in range(1, MOST_UNDELIVERED + 10):
        traced.items.dispatched(dispatch("9", index))
        traced.items.committed(batch(batch_id="9", last_sequence=index), [outcome(index)], None)
    assert max(map(len, traced.items._undelivered.values())) == MOST_UNDELIVERED
