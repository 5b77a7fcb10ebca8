"""Spans of items, for a share of those in sampled batches: waiting, fetching, running, recording, delivering.

The spans are made when an outcome is committed, of times that were taken on the way. An item's span is the child of the
submit's, and linked to it: OpenTelemetry's conventions for messaging ask for the link, and allow the parent where there
is no other.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import Attributes

from imagebatch.v1.enums import BatchItemStatus
from imagebatch_server.batches.model import AttemptResult, Batch, Dispatch, ItemResult, Outcome
from imagebatch_server.batches.ports.execution import DispatchEvents
from imagebatch_server.trace_context import TraceContext
from imagebatch_server.tracing.spans import SYSTEM, span_context, under
from imagebatch_server.urls import host_of

MOST_BATCHES = 1_000
"""Batches of whose items times are kept, those dispatched last."""

MOST_UNDELIVERED = 200
"""Committed items of a batch that nobody has watched yet; the oldest are forgotten."""

MOST_BATCHES_UNDELIVERED = 100
"""Batches that have such items, those committed last."""


@dataclass(slots=True)
class _Attempt:
    number: int
    dispatched_ns: int
    fetched_ns: int | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    host: str = ""


@dataclass(slots=True)
class _Times:
    """When what happened to one item on this server."""

    attempts: list[_Attempt] = field(default_factory=list)


@dataclass(slots=True)
class _Batch:
    parent: TraceContext
    items: dict[int, _Times] = field(default_factory=dict)


class _Undelivered(NamedTuple):
    sequence: int
    item: Context
    committed_ns: int


class ItemTracing:
    """Follow sampled items from their dispatch to their delivery. A listener of the recorder."""

    def __init__(self, tracer: Tracer, ratio: float) -> None:
        self._tracer = tracer
        self._ratio = ratio
        self._batches: OrderedDict[str, _Batch] = OrderedDict()
        self._undelivered: OrderedDict[str, deque[_Undelivered]] = OrderedDict()

    def is_sampled(self, item_index: int) -> bool:
        """Tell whether an item is of the share: alike on every server, evenly spread, and always the first one."""
        return math.ceil((item_index + 1) * self._ratio) > math.ceil(item_index * self._ratio)

    # What becomes of a dispatch.

    def dispatched(self, dispatch: Dispatch) -> None:
        """Take the time, if the item is sampled."""
        if dispatch.traceparent is None or not self.is_sampled(dispatch.item.item_index):
            return
        batch = self._batches.get(dispatch.batch_id)
        if batch is None:
            parent = TraceContext.read(dispatch.traceparent)
            if parent is None or not parent.is_sampled:
                return
            batch = self._batches[dispatch.batch_id] = _Batch(parent)
            if len(self._batches) > MOST_BATCHES:
                self._batches.popitem(last=False)
        times = batch.items.setdefault(dispatch.item.item_index, _Times())
        times.attempts.append(_Attempt(dispatch.attempt, time.time_ns(), host=host_of(dispatch.item.image_url or "")))

    def fetched(self, dispatch: Dispatch) -> None:
        """Take the time."""
        attempt = self._attempt(dispatch)
        if attempt is not None:
            attempt.fetched_ns = time.time_ns()

    def started(self, dispatch: Dispatch) -> None:
        """Take the time."""
        attempt = self._attempt(dispatch)
        if attempt is not None:
            attempt.started_ns = time.time_ns()

    def finished(self, dispatch: Dispatch) -> None:
        """Take the time."""
        attempt = self._attempt(dispatch)
        if attempt is not None:
            attempt.ended_ns = time.time_ns()

    def _attempt(self, dispatch: Dispatch) -> _Attempt | None:
        if dispatch.traceparent is None:
            return None
        batch = self._batches.get(dispatch.batch_id)
        times = None if batch is None else batch.items.get(dispatch.item.item_index)
        return None if times is None else times.attempts[-1]

    # What becomes of outcomes.

    def committed(self, batch: Batch, outcomes: Sequence[Outcome], results: Sequence[ItemResult] | None) -> None:
        """Make the spans of what was recorded."""
        traced = self._batches.get(batch.batch_id)
        if traced is None:
            return
        now_ns = time.time_ns()
        first_sequence = batch.last_sequence - len(outcomes) + 1
        for sequence, outcome in enumerate(outcomes, start=first_sequence):
            times = traced.items.pop(outcome.item_index, None)
            if times is not None and outcome.status is not BatchItemStatus.SKIPPED:
                item = self._item(batch, traced.parent, outcome, times, now_ns)
                self._await_delivery(batch.batch_id, _Undelivered(sequence, item, now_ns))
        if batch.completed_at is not None:
            del self._batches[batch.batch_id]

    def lost(self, batch_id: str, owner_epoch: int) -> None:
        """Forget a batch that another server runs."""
        self._batches.pop(batch_id, None)
        self._undelivered.pop(batch_id, None)

    def delivered(self, batch_id: str, sequence: int) -> None:
        """Make the last spans of what a watcher is handed for the first time, up to this sequence."""
        waiting = self._undelivered.get(batch_id)
        while waiting and waiting[0].sequence <= sequence:
            one = waiting.popleft()
            self._part("deliver", one.item, one.committed_ns, time.time_ns())

    def _await_delivery(self, batch_id: str, one: _Undelivered) -> None:
        waiting = self._undelivered.get(batch_id)
        if waiting is None:
            waiting = self._undelivered[batch_id] = deque(maxlen=MOST_UNDELIVERED)
            if len(self._undelivered) > MOST_BATCHES_UNDELIVERED:
                self._undelivered.popitem(last=False)
        waiting.append(one)

    def _item(self, batch: Batch, parent: TraceContext, outcome: Outcome, times: _Times, committed_ns: int) -> Context:
        created = span_context(parent)
        operation = batch.options.operation
        queued_ns, first = _ns(batch.created_at), times.attempts[0]
        span = self._tracer.start_span(
            f"process {operation}",
            under(created),
            SpanKind.CONSUMER,
            {
                "messaging.system": SYSTEM,
                "messaging.operation.type": "process",
                "messaging.operation.name": "process",
                "messaging.destination.name": operation,
                "imagebatch.tenant": batch.tenant,
                "imagebatch.batch_id": batch.batch_id,
                "imagebatch.item_index": outcome.item_index,
                "imagebatch.attempts": outcome.attempts,
            },
            [Link(created)],
            start_time=min(queued_ns, first.dispatched_ns),
        )
        if outcome.status is BatchItemStatus.FAILED:
            span.set_attribute("error.type", str(outcome.error_code))
            span.set_status(Status(StatusCode.ERROR))
        inside = under(span.get_span_context())
        self._part("queue", inside, min(queued_ns, first.dispatched_ns), first.dispatched_ns)
        for attempt in times.attempts:
            self._attempt_parts(inside, attempt, committed_ns)
        self._part("record", inside, times.attempts[-1].ended_ns or committed_ns, committed_ns)
        span.end(committed_ns)
        return inside

    def _attempt_parts(self, inside: Context, attempt: _Attempt, committed_ns: int) -> None:
        ended_ns = attempt.ended_ns or committed_ns
        if attempt.host:
            fetched: Attributes = {"imagebatch.attempt": attempt.number, "server.address": attempt.host}
            self._part("fetch", inside, attempt.dispatched_ns, attempt.fetched_ns or ended_ns, fetched)
        if attempt.started_ns is not None:
            self._part("run", inside, attempt.started_ns, ended_ns, {"imagebatch.attempt": attempt.number})

    def _part(self, name: str, inside: Context, began_ns: int, ended_ns: int, attributes: Attributes = None) -> None:
        self._tracer.start_span(name, inside, attributes=attributes, start_time=began_ns).end(ended_ns)


def _ns(at: datetime) -> int:
    return int(at.timestamp() * 1e9)


class TracedEvents:
    """Note what an executor reports, on its way to the scheduler. Implements `DispatchEvents`."""

    def __init__(self, tracing: ItemTracing, events: DispatchEvents) -> None:
        self._tracing = tracing
        self._events = events
        self.answered = events.answered
        self.fetch_is_slow = events.fetch_is_slow
        self.room_grew = events.room_grew

    def fetched(self, dispatch: Dispatch) -> None:
        self._tracing.fetched(dispatch)
        self._events.fetched(dispatch)

    def started(self, dispatch: Dispatch) -> None:
        self._tracing.started(dispatch)
        self._events.started(dispatch)

    def finished(self, result: AttemptResult) -> None:
        self._tracing.finished(result.dispatch)
        self._events.finished(result)
