"""Work whose caller may hang up: it goes on, and how it fails is said once and without alarm."""

from __future__ import annotations

import asyncio
import gc

import pytest
from structlog.testing import capture_logs

from imagebatch_server.batches.errors import StoreUnavailable
from imagebatch_server.rpc.shielded_calls import ShieldedCalls


async def hang_up_on(error: Exception | None) -> None:
    """Hang up on work, which goes on to its end; that may be this error."""
    going_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await going_on.wait()
        done.set()
        if error is not None:
            raise error

    shielded_calls = ShieldedCalls()
    call = asyncio.create_task(shielded_calls.run(work()))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    going_on.set()
    await done.wait()
    await asyncio.sleep(0)


async def test_it_goes_on_without_its_caller() -> None:
    with capture_logs() as logs:
        await hang_up_on(None)
    assert logs == []


@pytest.mark.parametrize(
    ("error", "event", "level"),
    [
        (StoreUnavailable("it is locked"), "call.refused_unheard", "info"),
        (ZeroDivisionError("ours"), "call.failed_unheard", "error"),
    ],
)
async def test_a_failure_that_nobody_hears_is_logged_once(error: Exception, event: str, level: str) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with capture_logs() as logs:
        await hang_up_on(error)
        gc.collect()  # when asyncio would tell of errors that nobody took
        await asyncio.sleep(0)
    assert [(line["event"], line["log_level"]) for line in logs] == [(event, level)]
    assert told == []


async def test_a_caller_that_waits_gets_the_error() -> None:
    async def work() -> None:
        raise StoreUnavailable("it is locked")

    with capture_logs() as logs, pytest.raises(StoreUnavailable):
        await ShieldedCalls().run(work())
    assert logs == []
