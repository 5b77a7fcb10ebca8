"""W3C Trace Context, as callers write it and as they should not."""

from __future__ import annotations

import pytest

from imagebatch_server.trace_context import TraceContext, log_fields

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False), ("03", True), ("02", False)])
def test_a_context_is_read_and_written(flags: str, is_sampled: bool) -> None:
    context = TraceContext.read(f"00-{TRACE}-{SPAN}-{flags}")
    assert context == TraceContext(TRACE, SPAN, is_sampled)
    assert TraceContext.read(context.traceparent) == context


def test_a_later_version_may_say_more() -> None:
    assert TraceContext.read(f"cc-{TRACE}-{SPAN}-01-what-will-be") == TraceContext(TRACE, SPAN, is_sampled=True)


def test_of_several_the_last_counts() -> None:
    """Whoever adds one to another's is closer to the call."""
    first = f"00-{'1' * 32}-{'2' * 16}-00"
    assert TraceContext.read(f"{first}, 00-{TRACE}-{SPAN}-01") == TraceContext(TRACE, SPAN, is_sampled=True)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "x",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
    ],
)
def test_what_is_no_context_is_passed_over(value: str | None) -> None:
    assert TraceContext.read(value) is None
    assert log_fields(value) == {}
